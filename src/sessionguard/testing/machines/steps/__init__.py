"""The steps of a trace: each is a value that makes one call, and says what the model makes of the answer."""
