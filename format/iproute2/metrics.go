package iproute2

import (
	"strconv"

	"rpdb"
)

// metricWord returns the word of a metric of routes (RTAX_*), "" for one that
// is not known.
func metricWord(t rpdb.MetricType) string {
	names := [...]string{
		rpdb.MetricMTU: "mtu", rpdb.MetricWindow: "window", rpdb.MetricRTT: "rtt", rpdb.MetricRTTVar: "rttvar",
		rpdb.MetricSSThresh: "ssthresh", rpdb.MetricCWnd: "cwnd", rpdb.MetricAdvMSS: "advmss",
		rpdb.MetricReordering: "reordering", rpdb.MetricHopLimit: "hoplimit", rpdb.MetricInitCWnd: "initcwnd",
		rpdb.MetricFeatures: "features", rpdb.MetricRTOMin: "rto_min", rpdb.MetricInitRWnd: "initrwnd",
		rpdb.MetricQuickAck: "quickack", rpdb.MetricCongCtl: "congctl",
		rpdb.MetricFastOpenNoCookie: "fastopen_no_cookie",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return ""
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

// metrics appends the metrics of a route as an array of one object. What is
// locked and has no value is listed with value 0.
func (l *line) metrics() bool {
	metrics := l.entry.Metrics
	if len(metrics) == 0 {
		return false
	}
	locks := metricLocks(metrics)
	l.open("metrics", arrayPart)
	l.open("", objectPart)
	for _, m := range metrics {
		for t := rpdb.MetricType(2); t < m.Type; t++ { // metrics come in the order of their types
			l.lockedAlone(t, &locks)
		}
		if m.Type != rpdb.MetricLock {
			l.oneMetric(m, locks)
			locks &^= 1 << m.Type
		}
	}
	for t := rpdb.MetricType(2); t <= rpdb.MetricFastOpenNoCookie; t++ {
		l.lockedAlone(t, &locks)
	}
	if l.view.Exact {
		l.exactMetrics(metrics)
	}
	l.close()
	l.close()
	return true
}

// lockedAlone appends a metric that is locked and nothing else.
func (l *line) lockedAlone(t rpdb.MetricType, locks *uint32) {
	if *locks&(1<<t) != 0 && t <= rpdb.MetricFastOpenNoCookie {
		l.oneMetric(rpdb.Metric{Type: t}, *locks)
		*locks &^= 1 << t
	}
}

func (l *line) oneMetric(m rpdb.Metric, locks uint32) {
	if m.Type == rpdb.MetricHopLimit && int32(m.Value) == -1 {
		return
	}
	key := metricWord(m.Type)
	if key != "" {
		l.text(key)
	} else {
		l.text("metric " + decimal(m.Type))
		key = "metric_" + decimal(m.Type)
	}
	l.text(" ")
	if locks&(1<<m.Type) != 0 {
		l.text("lock ")
	}
	switch m.Type {
	case rpdb.MetricCongCtl:
		l.named("congestion", "% ", m.Text)
	case rpdb.MetricFeatures:
		l.features(m.Value)
	case rpdb.MetricRTT:
		l.time(key, m.Value/rttUnit)
	case rpdb.MetricRTTVar:
		l.time(key, m.Value/rttVarUnit)
	case rpdb.MetricRTOMin:
		l.time(key, m.Value)
	default:
		l.numbered(key, "% ", uint64(m.Value))
	}
}

// The kernel counts these in parts of a millisecond.
const (
	rttUnit    = 8
	rttVarUnit = 4
)

func (l *line) features(bits uint32) {
	if bits&featureECN != 0 {
		l.field(&lineField{key: "ecn", text: "ecn ", kind: nullField})
	}
	if bits&featureTCPUsecTS != 0 {
		l.field(&lineField{key: "tcp_usec_ts", text: "tcp_usec_ts ", kind: nullField})
	}
	if bits&^(featureECN|featureTCPUsecTS) != 0 {
		l.named("features", "% ", hex(bits))
	}
}

// time appends milliseconds, which people may see as seconds.
func (l *line) time(key string, ms uint32) {
	from := len(l.buf)
	l.shown, l.tint = -1, noTint
	l.number(uint64(ms))
	l.instead()
	if ms >= 1000 {
		l.buf = append(strconv.AppendFloat(l.buf, float64(ms)/1000, 'g', 6, 64), 's')
	} else {
		l.number(uint64(ms))
		l.word("ms")
	}
	l.add(part{key: key, text: "% ", kind: numberField, from: from})
}

// exactMetrics appends what ip does not tell programs: what is locked, and
// parts of a millisecond.
func (l *line) exactMetrics(metrics []rpdb.Metric) {
	if locks := metricLocks(metrics); locks != 0 {
		l.numbered("lock", "", uint64(locks))
	}
	for _, m := range metrics {
		switch {
		case m.Type == rpdb.MetricRTT && m.Value%rttUnit != 0:
			l.numbered("rtt_raw", "", uint64(m.Value))
		case m.Type == rpdb.MetricRTTVar && m.Value%rttVarUnit != 0:
			l.numbered("rttvar_raw", "", uint64(m.Value))
		}
	}
}

// numbered appends a field whose value is a number.
func (l *line) numbered(key, text string, n uint64) {
	from := len(l.buf)
	l.shown, l.tint = -1, noTint
	l.number(n)
	l.add(part{key: key, text: text, kind: numberField, from: from})
}

// metricWords writes metrics so that they can be read back: times as the raw
// numbers that ip takes without a unit.
func metricWords(w *words, metrics []rpdb.Metric) {
	locks := metricLocks(metrics)
	for _, m := range metrics {
		if m.Type == rpdb.MetricLock || metricWord(m.Type) == "" {
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
	w.add(metricWord(m.Type))
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
}
