// Command netpol runs kube-router's network policy controller alone, as k3s embeds it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cloudnativelabs/kube-router/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/pkg/options"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	node := flag.String("node", "", "name of this node")
	services := flag.String("service-cidr", "10.43.0.0/16", "range of the cluster's service addresses")
	flag.Parse()
	if err := run(*kubeconfig, *node, *services); err != nil {
		fmt.Fprintln(os.Stderr, "netpol:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, node, services string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	// The controller reads its own node's address once, at its start.
	for {
		if _, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}

	settings := options.NewKubeRouterConfig()
	settings.ClusterIPCIDR = services
	settings.NodePortRange = "30000-32767"
	settings.HostnameOverride = node
	settings.IPTablesSyncPeriod = 5 * time.Minute

	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	controller, err := netpol.NewNetworkPolicyController(client, settings, pods, policies, namespaces, &sync.Mutex{})
	if err != nil {
		return err
	}
	pods.AddEventHandler(controller.PodEventHandler)
	policies.AddEventHandler(controller.NetworkPolicyEventHandler)
	namespaces.AddEventHandler(controller.NamespaceEventHandler)

	health := make(chan *healthcheck.ControllerHeartbeat, 10)
	go func() {
		for range health { // nobody asks for the heartbeats; unread they would block the controller
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	controller.Run(health, ctx.Done(), &running)
	return nil
}
