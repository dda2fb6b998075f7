package gateway

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childState and childRoot make the test binary a gateway of its own, which can
// be killed.
const (
	childState = "CERTSD_TEST_GATEWAY_STATE"
	childRoot  = "CERTSD_TEST_GATEWAY_ROOT"
)

func TestMain(m *testing.M) {
	if os.Getenv(childState) != "" {
		serveAsChild()
	}
	goleak.VerifyTestMain(m)
}

// serveAsChild prints the address and serves until it is killed.
func serveAsChild() {
	c := DefaultConfig()
	c.State, c.Root, c.Listen = os.Getenv(childState), os.Getenv(childRoot), []string{"127.0.0.1:0"}
	err := c.Run(context.Background(), nil, func(addresses []net.Addr) { fmt.Println(addresses[0]) })
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
