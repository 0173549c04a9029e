#!/bin/sh
# Stands in the place of mdadm, mount, umount and sg_persist on an HA node, and kills the recovery that calls it, once each, at the moments
# for which there is a file: MOMENTS/before-EFFECT (the effect never happens), MOMENTS/meanwhile-EFFECT (it happens, and
# nobody is left to hear of it). Everything else it passes on: see ../../takeover.py.
MOMENTS=/run/kill-recover
case $(cat "/proc/$PPID/comm") in nova-ha-recover) ;; *) exec "$0.real" "$@" ;; esac
case "${0##*/} $*" in
  umount*) effect=unmount ;;
  mount*) effect=mount ;;
  sg_persist*--reserve*) effect=reserve ;;
  sg_persist*) effect=other ;;
  *--stop*) effect=stop ;;
  *--readonly*--update=name*) effect=rename ;;
  *--readonly*) effect=look ;;
  *--update=name*) effect=take ;;
  *) effect=other ;;
esac
# Who does it is written down before the kill. The file goes first: whoever sees it gone knows that the kill is on its way.
moment() { mv "$MOMENTS/$1-$effect" "$MOMENTS/killer" 2>/dev/null && echo $$ >"$MOMENTS/killer" && kill -KILL "$PPID"; }
moment before && exit 1
moment meanwhile
exec "$0.real" "$@"
