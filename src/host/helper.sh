# monopg's helper on a host: one privileged shell a run, fed by length-framed requests on its standard input.
#
# A request is a line "OP ID SCRIPT_BYTES DATA_BYTES SECONDS", then the script, then the data. The answer is a line
# "ID BASE64" on standard output and a line "@E<nonce> ID STATUS" on standard error, behind what the script wrote
# there. Lines "@W<nonce>" on standard error are wake-ups of the watchers. Base64, because a shell cannot hold NULs
# and a length would need a temporary file. $1 is the nonce.
#
# $2 is set if standard output and error are one terminal. What is said on standard error is then kept and follows each
# answer as a line "@S BASE64;", so that only wake-ups come in between, also in the middle of a line.
nonce=$1 terminal=$2 wake=2
umask 077
LC_ALL=C LANG=C TZ=UTC
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL LANG TZ PATH
unset KUBECONFIG HELM_NAMESPACE HELM_KUBECONTEXT ENV BASH_ENV CDPATH IFS
cd /
R=${MONOPG_RUN_DIR:-/run/monopg}
mkdir -p -m 0700 "$R" 2>/dev/null
main=$$
hb=$R/beat.$main
watchers=

# The beat: when it was written (uptime, so that no clock change matters) and how long it is good for.
beat() { read -r up _ </proc/uptime; { printf '%s %s\n' "${up%%.*}" "$1" >"$hb"; } 2>/dev/null; }
unwatch() { for w in $watchers; do kill -s KILL -- "-$w" 2>/dev/null; done; watchers=; rm -f "$R/watchers.$main"; }
finish() { unwatch; rm -f "$hb" "$R/lists.$main" "$R/said.$main"; }
trap finish EXIT
trap 'exit 143' TERM HUP INT
beat 30
if [ -n "$terminal" ]; then
  said=$R/said.$main
  exec 8>&1 2>"$said"
  wake=8
  # Appended to, so that it can be emptied.
  exec 2>>"$said"
fi

# The watchdog: a client that was stopped, or whose network died, keeps its channel for ever. It holds no lock itself.
( exec 8>&- 9>&- </dev/null >/dev/null 2>&1
  trap - EXIT TERM HUP INT
  at=${up%%.*} good=30
  while sleep 2 && kill -0 "$main"; do
    # Empty while it is being written: the last one counts.
    read -r a g <"$hb" && at=$a good=$g
    read -r up _ </proc/uptime
    [ $((${up%%.*} - at)) -le "$good" ] || { kill -s KILL "$main"; break; }
  done
  for w in $(cat "$R/watchers.$main"); do kill -s KILL -- "-$w"; done
  rm -f "$hb" "$R/watchers.$main" "$R/lists.$main" "$R/said.$main" ) &

# The processes above one, up to init: a client that is gone takes its sshd along.
ancestors() {
  p=$1 chain=
  while [ "$p" -gt 1 ] && IFS= read -r stat <"/proc/$p/stat"; do
    stat=${stat##*) } stat=${stat#* } p=${stat%% *} chain=$chain,$p
  done 2>/dev/null
}

# Takes the run's lock on descriptor 9. A live holder refuses at once; one whose client is gone, or whose beat has
# stopped, is waited for: it ends by itself, at the latest 30 s after its last beat.
take_lock() {
  # A failed redirection of exec would end the shell.
  [ -d "$R" ] && [ -w "$R" ] || return 2
  exec 9>>"$R/run.lock"
  flock -n 9 || {
    read -r holder above _ <"$R/run.holder" || holder=0 above=
    at=0 good=30
    read -r at good <"$R/beat.$holder"
    read -r up _ </proc/uptime
    ancestors "$holder"
    if [ "$chain" = "$above" ] && { [ "$good" -gt 30 ] || [ $((${up%%.*} - at)) -le 12 ]; }; then exec 9>&-; return 1; fi
    flock -w 35 9 || { exec 9>&-; return 1; }
  } 2>/dev/null
  ancestors "$main"
  printf '%s %s %s\n' "$main" "$chain" "$1" >"$R/run.holder"
}

while IFS=' ' read -r op id scriptlen datalen seconds; do
  beat $((seconds + 30))
  script=
  [ "$scriptlen" = 0 ] || { script=$(exec 9>&-; head -c "$scriptlen"; printf .); script=${script%.}; }
  case $op in
  run)
    # No part may keep the lock: a command that hangs outlives the helper that the watchdog has ended. In parentheses,
    # as around braces a shell keeps a copy of the descriptor.
    printf '%s ' "$id"
    if [ "$datalen" = 0 ]; then
      ( ( eval "$script" ) </dev/null; printf '\n@E%s %s %s\n' "$nonce" "$id" "$?" >&2 ) 8>&- 9>&- | base64 9>&- | tr -d '\n' 9>&-
    else
      # What the script does not read is drained, or the next request would start in the middle of it.
      head -c "$datalen" 9>&- |
        ( ( eval "$script" ); r=$?; cat >/dev/null; printf '\n@E%s %s %s\n' "$nonce" "$id" "$r" >&2 ) 8>&- 9>&- |
        base64 9>&- | tr -d '\n' 9>&-
    fi
    printf '\n'
    ;;
  lock)
    take_lock "$script"; r=$?
    printf '%s %s\n' "$id" "$(cut -d ' ' -f 3- "$R/run.holder" 2>/dev/null | base64 | tr -d '\n')"
    printf '\n@E%s %s %s\n' "$nonce" "$id" "$r" >&2
    ;;
  watch)
    # A session of its own, so that the whole family can be ended; it must not keep the lock or the answers' pipe open.
    setsid /bin/sh -c 'while :; do eval "$1" 2>/dev/null | while IFS= read -r _; do printf "\n@W%s\n" "$2" >&"$3"; done; sleep 1; done' \
      watch "$script" "$nonce" "$wake" 9>&- </dev/null >/dev/null &
    watchers="$watchers $!"
    printf '%s\n' "$watchers" >"$R/watchers.$main"
    printf '%s \n' "$id"
    printf '\n@E%s %s 0\n' "$nonce" "$id" >&2
    ;;
  unwatch)
    unwatch
    printf '%s \n' "$id"
    printf '\n@E%s %s 0\n' "$nonce" "$id" >&2
    ;;
  esac
  if [ -n "$terminal" ] && [ -s "$said" ]; then
    printf '@S %s;\n' "$(tail -c 65536 "$said" | base64 | tr -d '\n')"
    : >"$said"
  fi
  beat 30
done
