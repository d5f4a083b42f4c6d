"""How fast brokercli is beside the tools people use today: `python -m tests.bench`, on an idle machine."""
