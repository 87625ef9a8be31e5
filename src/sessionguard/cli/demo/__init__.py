"""The demonstration: shared upload sessions over HTTP, in an app that trusts the client's id and in a guarded one."""
