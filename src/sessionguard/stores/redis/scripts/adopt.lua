-- Makes this shard one of the deployment ARGV[3], unless it is another's already; gives whose it is.
local deployment, last = string.match(call('GET', P .. 'g') or '', '^(%x+):(%d+)$')
if deployment == nil then
  deployment = ARGV[3]
  call('SET', P .. 'g', deployment .. ':0')
end
return answer(deployment)
