# SPDX-License-Identifier: Apache-2.0
# Agents for scenarios: `. {here}/agent.sh {tidewaiter}` in RUN or SETUP, then
#   start_agent [OPTION…]   on a port of its own, state in ./state (or $state); returns when it listens: $agent, $url
#   get PATH [OPTION…]      what it answers, as curl prints it
#   wait_until COMMAND…     until the command succeeds; the case's TIMEOUT is the end of patience
#   stop_agent [SIGNAL]     its exit code; 99 when it took more than a second
program=$1
state=${state:-state}

wait_until() { until "$@" >/dev/null 2>&1; do sleep 0.02; done; }

start_agent() {
  rm -f "$state/address"
  "$program" run --listen 127.0.0.1:0 --state-dir "$state" "$@" >>out 2>>err &
  agent=$!
  until [ -s "$state/address" ]; do
    kill -0 "$agent" 2>/dev/null || { cat err >&2; return 1; }
    sleep 0.02
  done
  url=http://$(<"$state/address")
}

get() { curl -sS --max-time 5 "${@:2}" "$url$1"; }

status_has() { get /api/v1/status | grep -qE "$1"; }

stop_agent() {
  local begin=${EPOCHREALTIME/./} code=0
  kill -s "${1:-INT}" "$agent"
  wait "$agent" || code=$?
  local milliseconds=$(((${EPOCHREALTIME/./} - begin) / 1000))
  [ "$milliseconds" -le 1000 ] || { echo "the agent took $milliseconds ms to end" >&2; return 99; }
  return $code
}
