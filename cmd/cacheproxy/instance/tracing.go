package instance

import "cacheproxy/observe"

// newTracer makes the tracer of the configuration; nil: the configuration has none.
func (i *Instance) newTracer() (*observe.Tracer, error) {
	t := i.snapshot.Tracing
	if t == nil {
		return nil, nil
	}
	headers := make(map[string]string, len(t.Headers))
	for name, value := range t.Headers {
		headers[name] = string(value)
	}
	return observe.NewTracer(observe.TracerOptions{
		Endpoint: t.Endpoint, GRPC: t.GRPC, Timeout: t.Timeout, Headers: headers, Sample: t.Sample, Service: t.Service, Version: i.build,
		Dropped: i.metrics.SpansDropped, Logger: i.log,
	})
}
