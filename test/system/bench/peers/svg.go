package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"text/template"
	"time"
)

//go:embed plot.svg.tmpl
var plotText string

var plotTemplate = template.Must(template.New("plot").Funcs(template.FuncMap{"text": html.EscapeString}).Parse(plotText))

// Sizes of the plot, in its own units.
const (
	plotColumns = 3
	panelWidth  = 360
	nameWidth   = 100
	valueWidth  = 60
	barHeight   = 18
	panelHead   = 34
	plotHead    = 64
)

// plot has a panel for each load. Each panel has a scale of its own, since a hit on 1 MiB costs a hundred times a hit
// on 2 KiB.
type plot struct {
	Width, Height int
	Title, Notes  string
	Panels        []panel
}

type panel struct {
	X, Y  int
	Title string
	Bars  []bar
}

type bar struct {
	Y     int
	Peer  string
	Value string
	Width int
	End   int // where the value begins
	Class string
}

// plotOf plots the CPU time per request with realistic heads, or with constant heads where a row has no others.
func plotOf(r *report) plot {
	p := plot{
		Width: plotColumns*panelWidth + 20,
		Title: "CPU time per request, in microseconds: less is better",
		Notes: fmt.Sprintf("%s, %d cores, %s; server on one core, wrk and origin on the other; median of %d rounds",
			r.Machine.CPU, r.Machine.Cores, r.Date.Format(time.DateOnly), r.Rounds),
	}
	y, tallest := plotHead, 0
	for i, w := range r.Rows {
		if i%plotColumns == 0 {
			y, tallest = y+tallest, 0
		}
		one := panelOf(w)
		one.X, one.Y = 10+i%plotColumns*panelWidth, y
		p.Panels = append(p.Panels, one)
		tallest = max(tallest, panelHead+len(one.Bars)*barHeight+16)
	}
	p.Height = y + tallest
	return p
}

func panelOf(w row) panel {
	one := panel{Title: w.Title}
	heads := realistic
	if !w.has(realistic, "") {
		heads = constants
	}
	most := 0.0
	for _, c := range w.Cells {
		if c.Heads == heads {
			most = max(most, c.CPU.Median)
		}
	}
	for _, name := range w.peers() {
		c, ok := w.find(name, heads)
		if !ok || c.CPU.Median == 0 {
			continue
		}
		width := max(1, int(c.CPU.Median/most*(panelWidth-nameWidth-valueWidth)))
		class := "peer"
		switch name {
		case ours, baseline:
			class = name
		case bareLoop, plainHTTP, reverseProxy, bareGet:
			class = "limit"
		}
		one.Bars = append(one.Bars, bar{
			Y: panelHead + len(one.Bars)*barHeight, Peer: name, Value: fmt.Sprintf("%.1f", c.CPU.Median),
			Width: width, End: nameWidth + width + 5, Class: class,
		})
	}
	return one
}

// draw returns the plot as SVG.
func draw(r *report) ([]byte, error) {
	var out bytes.Buffer
	if err := plotTemplate.Execute(&out, plotOf(r)); err != nil {
		return nil, fmt.Errorf("draw plot: %w", err)
	}
	return out.Bytes(), nil
}
