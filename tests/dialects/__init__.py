"""Dead letters of every dialect: recognised, and turned back into what the producer sent."""
