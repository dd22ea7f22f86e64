# monopg's helper on a host: one privileged shell a run, fed by length-framed requests on its standard input.
#
# A request is a line "OP ID SCRIPT_BYTES DATA_BYTES SECONDS", then the script, then the data. The answer is a line
# "ID BASE64" on standard output and a line "@E<nonce> ID STATUS" on standard error, behind what the script wrote
# there. Lines "@W<nonce>" on standard error are wake-ups of the watchers, "@U<nonce>" refuses the folder in /run. Base64,
# because a shell cannot hold NULs and a length would need a temporary file. $1 is the nonce.
#
# A connection may break anywhere. Nothing is run that has not arrived whole: the beginning of a script, or of a file,
# can mean something else than the whole. While a request runs, the next lines are read, so that beats count.
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
[ -d "$R" ] || mkdir -p -m 0700 "$R" 2>/dev/null
# What others could have put there (a link by the name of the lock, say) would be written through.
if [ -w "$R" ] && { [ -L "$R" ] || [ ! -O "$R" ] || [ "$(stat -c %a "$R")" != 700 ]; }; then
  printf '@U%s\n' "$nonce" >&2
  exit 1
fi
main=$$
hb=$R/beat.$main
watchers=
job=

# The beat: when it was written (uptime, so that no clock change matters) and how long it is good for.
beat() { read -r up _ </proc/uptime; { printf '%s %s\n' "${up%%.*}" "$1" >"$hb"; } 2>/dev/null; }
unwatch() { for w in $watchers; do kill -s KILL -- "-$w" 2>/dev/null; done; watchers=; rm -f "$R/watchers.$main"; }
# What this helper may leave, and the temporary file of an upload that was cut.
sweep() {
  { IFS= read -r temp <"$R/upload.$main" && rm -f -- "$temp"; } 2>/dev/null
  rm -f "$hb" "$R/watchers.$main" "$R/lists.$main" "$R/upload.$main" "$R/said.$main"
}
finish() { unwatch; sweep; }
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

# Ends the helper and all that it started, but the caller. Stopped first, so that none starts another meanwhile. What has
# left the family (Helm's unit) goes on.
end_family() {
  read -r self _ </proc/self/stat
  kill -s STOP "$main"
  found=" $main " more=yes
  while [ -n "$more" ]; do
    more=
    for each in /proc/[0-9]*; do
      IFS= read -r stat <"$each/stat" || continue
      each=${each#/proc/} stat=${stat##*) } stat=${stat#* }
      case "$found$self " in *" $each "*) continue ;; esac
      case $found in *" ${stat%% *} "*) kill -s STOP "$each"; found="$found$each " more=yes ;; esac
    done
  done
  kill -s KILL $found
} 2>/dev/null

# The watchdog: a client that was stopped, or whose network died, keeps its channel for ever. It holds no lock itself.
( exec 8>&- 9>&- </dev/null >/dev/null 2>&1
  trap - EXIT TERM HUP INT
  at=${up%%.*} good=30
  while sleep 2 && kill -0 "$main"; do
    # Empty while it is being written: the last one counts.
    read -r a g <"$hb" && at=$a good=$g
    read -r up _ </proc/uptime
    [ $((${up%%.*} - at)) -le "$good" ] || { end_family; break; }
  done
  for w in $(cat "$R/watchers.$main"); do kill -s KILL -- "-$w"; done
  sweep ) &

# The processes above one, up to init: a client that is gone takes its sshd along.
ancestors() {
  p=$1 chain=
  while [ "$p" -gt 1 ] && IFS= read -r stat <"/proc/$p/stat"; do
    stat=${stat##*) } stat=${stat#* } p=${stat%% *} chain=$chain,$p
  done 2>/dev/null
}

# Takes the run's lock on descriptor 9. A live holder refuses at once; one whose client is gone, or whose beat has
# stopped, is waited for: it ends by itself, at the latest 30 s after its last beat. So is an earlier channel of the
# same run, whose connection was lost.
take_lock() {
  # A failed redirection of exec would end the shell.
  [ -d "$R" ] && [ -w "$R" ] || return 2
  exec 9>>"$R/run.lock"
  flock -n 9 || {
    read -r holder above who <"$R/run.holder" || holder=0 above= who=
    at=0 good=30
    read -r at good <"$R/beat.$holder"
    read -r up _ </proc/uptime
    ancestors "$holder"
    if [ "$who" != "$1" ] && [ "$chain" = "$above" ] && { [ "$good" -gt 30 ] || [ $((${up%%.*} - at)) -le 12 ]; }; then exec 9>&-; return 1; fi
    flock -w 35 9 || { exec 9>&-; return 1; }
  } 2>/dev/null
  ancestors "$main"
  printf '%s %s %s\n' "$main" "$chain" "$1" >"$R/run.holder"
}

# On a terminal: what was said on standard error, behind its answer.
tell() {
  [ -n "$terminal" ] && [ -s "$said" ] || return 0
  printf '@S %s;\n' "$(tail -c 65536 "$said" | base64 | tr -d '\n')"
  : >"$said"
}

# The one request that runs in the background. A client that goes on sending meanwhile sends no beats behind it.
settle() {
  [ -n "$job" ] || return 0
  beat $((busy + 30))
  wait "$job"
  job=
}

while IFS=' ' read -r op id scriptlen datalen seconds; do
  if [ "$op" = beat ]; then beat 30; continue; fi
  settle
  beat 30
  script=
  [ "$scriptlen" = 0 ] || { script=$(exec 9>&-; head -c "$scriptlen"; printf .); script=${script%.}; }
  [ "${#script}" = "$scriptlen" ] || exit 1
  case $op in
  run)
    data=
    if [ "$datalen" != 0 ]; then
      data=$(exec 9>&-; head -c "$datalen" | base64 | tr -d '\n')
      case $data in *==) pad=2 ;; *=) pad=1 ;; *) pad=0 ;; esac
      [ $((${#data} / 4 * 3 - pad)) = "$datalen" ] || exit 1
    fi
    # No part may keep the lock: a command that hangs must not hold it any longer than its helper lives.
    (
      exec 9>&- </dev/null
      trap - EXIT TERM HUP INT
      printf '%s ' "$id"
      if [ "$datalen" = 0 ]; then
        ( exec 8>&-; ( eval "$script" ); printf '\n@E%s %s %s\n' "$nonce" "$id" "$?" >&2 ) | base64 | tr -d '\n'
      else
        # What the script does not read is drained.
        printf %s "$data" | base64 -d |
          ( exec 8>&-; ( eval "$script" ); r=$?; cat >/dev/null; printf '\n@E%s %s %s\n' "$nonce" "$id" "$r" >&2 ) |
          base64 | tr -d '\n'
      fi
      printf '\n'
      tell
    ) &
    job=$! busy=$seconds data=
    continue
    ;;
  feed | zfeed)
    # A piece of an upload, straight from the connection into the file that the script names: here half of it does no
    # harm, as a digest follows. What cannot be written is drained: nothing of it may be taken for a request.
    if [ "$op" = feed ]; then unpack=cat; else unpack='gzip -dc'; fi
    head -c "$datalen" 9>&- | ( exec 9>&-; $unpack >>"$script"; r=$?; cat >/dev/null; exit "$r" )
    printf '\n@E%s %s %s\n' "$nonce" "$id" "$?" >&2
    printf '%s \n' "$id"
    ;;
  lock)
    beat 70
    take_lock "$script"; r=$?
    printf '%s %s\n' "$id" "$(cut -d ' ' -f 3- "$R/run.holder" 2>/dev/null | base64 | tr -d '\n')"
    printf '\n@E%s %s %s\n' "$nonce" "$id" "$r" >&2
    ;;
  watch)
    # A session of its own, so that the whole family can be ended; it must not keep the lock or the answers' pipe open.
    # It ends by itself when nobody is there to be woken, should the watchdog not know of it any more.
    setsid /bin/sh -c 'while kill -0 "$4" 2>/dev/null; do eval "$1" 2>/dev/null | while IFS= read -r _; do printf "\n@W%s\n" "$2" >&"$3"; done; sleep 1; done' \
      watch "$script" "$nonce" "$wake" "$main" 9>&- </dev/null >/dev/null &
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
  tell
  beat 30
done
# The client is gone: what it had begun may end by itself within a moment, then the watchdog ends it.
[ -z "$job" ] || { beat 5; wait "$job"; }
