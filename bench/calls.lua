-- wrk's script for tools/call: as many sessions as connections, a new id in every request, every answer checked.
--
-- bench/generators.py opens the sessions and writes one file: the text that a right answer holds (empty: check the status
-- alone), then for each session the request with nine # where the id goes. wrk has one thread per run here, so the
-- counters of `done` are those of thread 1.
local requests, count, at, id = {}, 0, 0, 100000000
local expected = ''
calls, wrong, first_wrong = 0, 0, ''
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local file = assert(io.open(arguments[1], 'rb'))
  local text = file:read('*a')
  file:close()
  local parts = {}
  for part in (text .. '\0'):gmatch('(.-)%z') do
    parts[#parts + 1] = part
  end
  expected = parts[1]
  for i = 2, #parts do
    local before, after = parts[i]:match('^(.-)#########(.*)$')
    requests[#requests + 1] = { before, after }
  end
  count = #requests
  if expected == '' then
    response = nil -- wrk skips header and body work when there is no such function
  end
end

function request()
  at = at % count + 1
  id = id + 1
  local r = requests[at]
  return r[1] .. id .. r[2]
end

function response(status, headers, body)
  calls = calls + 1
  if status ~= 200 or not body:find(expected, 1, true) or body:find('"error"', 1, true)
      or body:find('"isError":true', 1, true) then
    if wrong == 0 then first_wrong = status .. ' ' .. body end
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local thread = threads[1]
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"calls":%d,"bytes":%d,"seconds":%.6f,"checked":%d,"wrong":%d,"status_errors":%d,"socket_errors":%d,' ..
    '"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
    summary.requests, summary.bytes, summary.duration / 1e6, thread:get('calls'), thread:get('wrong'),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
  if thread:get('wrong') > 0 then
    io.write('WRONG ' .. thread:get('first_wrong') .. '\n')
  end
end
