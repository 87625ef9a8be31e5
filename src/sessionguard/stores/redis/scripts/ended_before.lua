-- Gives whom the operation ARGV[3] has ended to make room: those who are here, and the names of the others.
local ended, names = ended_before(ARGV[3])
return answer(ended, names)
