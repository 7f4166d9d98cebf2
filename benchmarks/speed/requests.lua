-- Sends the bodies of a file, a line each, in turn: wrk -s requests.lua URL -- FILE [FIRST]
local requests, place = {}, 0

function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  headers["X-API-Key"] = os.getenv("SPEED_KEY")
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, line)
  end
  place = tonumber(args[2] or "0")
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "failed": %d, "p50": %.1f, "p90": %.1f, "p99": %.1f, "max": %.1f}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
