"""The contract kit of places for files: what every place must show, whether disk or object storage."""
