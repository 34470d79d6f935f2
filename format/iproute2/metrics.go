package iproute2

import (
	"fmt"

	"rpdb"
)

// metricNames are the words of the metrics of a route, by number (RTAX_*).
func metricNames() map[rpdb.MetricType]string {
	return map[rpdb.MetricType]string{
		rpdb.MetricMTU: "mtu", rpdb.MetricWindow: "window", rpdb.MetricRTT: "rtt", rpdb.MetricRTTVar: "rttvar",
		rpdb.MetricSSThresh: "ssthresh", rpdb.MetricCWnd: "cwnd", rpdb.MetricAdvMSS: "advmss",
		rpdb.MetricReordering: "reordering", rpdb.MetricHopLimit: "hoplimit", rpdb.MetricInitCWnd: "initcwnd",
		rpdb.MetricFeatures: "features", rpdb.MetricRTOMin: "rto_min", rpdb.MetricInitRWnd: "initrwnd",
		rpdb.MetricQuickAck: "quickack", rpdb.MetricCongCtl: "congctl",
		rpdb.MetricFastOpenNoCookie: "fastopen_no_cookie",
	}
}

// The known bits of MetricFeatures.
const (
	featureECN       = 1 << 0
	featureTCPUsecTS = 1 << 4
)

// metricLocks returns the mask of locked metrics.
func metricLocks(metrics []rpdb.Metric) uint32 {
	for _, m := range metrics {
		if m.Type == rpdb.MetricLock {
			return m.Value
		}
	}
	return 0
}

// metricsText prints metrics as listings show them: times in milliseconds or
// seconds.
func metricsText(w *words, metrics []rpdb.Metric) {
	locks := metricLocks(metrics)
	for _, m := range metrics {
		if m.Type == rpdb.MetricLock {
			continue
		}
		metricHead(w, m, locks)
		switch m.Type {
		case rpdb.MetricCongCtl:
			w.add(escape(m.Text))
		case rpdb.MetricFeatures:
			featureWords(w, m.Value)
		case rpdb.MetricRTT:
			w.add(timeText(m.Value / 8))
		case rpdb.MetricRTTVar:
			w.add(timeText(m.Value / 4))
		case rpdb.MetricRTOMin:
			w.add(timeText(m.Value))
		case rpdb.MetricHopLimit:
			w.addf("", "%d", max(int32(m.Value), 0))
		default:
			w.addf("", "%d", m.Value)
		}
	}
}

// metricWords writes metrics so that they can be read back: times as the raw
// numbers that ip takes without a unit.
func metricWords(w *words, metrics []rpdb.Metric) {
	locks := metricLocks(metrics)
	for _, m := range metrics {
		if m.Type == rpdb.MetricLock || metricNames()[m.Type] == "" {
			continue
		}
		if m.Type == rpdb.MetricRTOMin { // always locked
			locks &^= 1 << rpdb.MetricRTOMin
		}
		metricHead(w, m, locks)
		switch m.Type {
		case rpdb.MetricCongCtl:
			w.add(quote(m.Text))
		case rpdb.MetricFeatures:
			featureWords(w, m.Value&(featureECN|featureTCPUsecTS))
		default:
			w.addf("", "%d", m.Value)
		}
	}
}

func metricHead(w *words, m rpdb.Metric, locks uint32) {
	name := metricNames()[m.Type]
	if name == "" {
		name = fmt.Sprintf("metric %d", m.Type)
	}
	w.add(name)
	if locks&(1<<m.Type) != 0 {
		w.add("lock")
	}
}

func featureWords(w *words, bits uint32) {
	if bits&featureECN != 0 {
		w.add("ecn")
	}
	if bits&featureTCPUsecTS != 0 {
		w.add("tcp_usec_ts")
	}
	if rest := bits &^ (featureECN | featureTCPUsecTS); rest != 0 {
		w.add(hex(rest))
	}
}

// timeText prints milliseconds as ip does.
func timeText(ms uint32) string {
	if ms >= 1000 {
		return fmt.Sprintf("%gs", float64(ms)/1000)
	}
	return fmt.Sprintf("%dms", ms)
}
