-- Gives when the last lease lapses; 0 if there is none.
local _, last = span()
return answer(text(last))
