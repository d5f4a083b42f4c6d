"""Each broker as it is without brokercli: makes topics, streams and queues, fills them, and reads back what is really there."""
