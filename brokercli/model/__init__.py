"""The nouns: what a message, an address, a position and a verdict are. Standard library only."""
