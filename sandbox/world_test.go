package sandbox

import (
	"testing"
	"time"
)

func TestScratch(t *testing.T) {
	begin := time.Now()
	w := buildWorld(t, Spec{Uplinks: twoUplinks(), Extra: []Extra{{Link: "wg0"}}})
	t.Log("build", time.Since(begin))
	begin = time.Now()
	for _, o := range sendAll(t, w, w.Probes()) {
		t.Log(o.Probe, o.Answered, o.Errno, o.Departures, o.Source, o.RTT)
	}
	t.Log("send", time.Since(begin))
}
