package observe

import "github.com/prometheus/client_golang/prometheus"

// readings collects values that other parts hold, at each scrape. Series may come and go between scrapes, so no series
// is described in advance; the registry checks the values.
type readings func(tell reading)

// reading tells one value. Labels are pairs of a name and a value.
type reading func(kind prometheus.ValueType, name, help string, value float64, labels ...string)

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// Describe implements prometheus.Collector.
func (readings) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (r readings) Collect(to chan<- prometheus.Metric) {
	r(func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+"_"+name, help, names, nil), kind, value, values...)
	})
}

// flag is a bool as a value of a metric.
func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
