-- Changes nothing and tells nothing, but a replica refuses it.
takes_writes(KEYS[1])
return false
