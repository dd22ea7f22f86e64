// Command pause is a pod's first process: it holds the pod's namespaces, reaps orphans and
// ends on SIGTERM (one that does not makes every shutdown of the node wait for its time-out).
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	children := make(chan os.Signal, 16)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-stop:
			return
		case <-children:
			for {
				pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
				if err != nil || pid <= 0 {
					break
				}
			}
		}
	}
}
