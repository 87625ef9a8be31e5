"""Where sessions are kept: the contract (`contract`), one file or folder per engine, and `opening.open_store`."""
