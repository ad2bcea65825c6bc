package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFigure(t *testing.T) {
	own, other := []float64{4, 6, 9}, []float64{2, 3, 3}
	for name, c := range map[string]struct {
		row                    row
		samples                []float64
		figure, asked, verdict string
	}{
		"alone":         {row{ours: own, target: 6}, own, "6.00", "<= 6", "met"},
		"alone, beside": {row{ours: own, other: other, target: 5}, own, "6.00", "<= 5", "MISSED"},
		"difference":    {row{how: difference, ours: own, other: other, target: 2}, []float64{2, 3, 6}, "+3.00", "<= R + 2", "MISSED"},
		"ratio":         {row{how: ratio, ours: own, other: other, target: 2}, []float64{2, 2, 3}, "2.00x", "<= 2.00 R", "met"},
		"no target":     {row{how: ratio, ours: own, other: other}, []float64{2, 2, 3}, "2.00x", "-", "-"},
	} {
		require.Equal(t, c.samples, c.row.samples(), name)
		require.Equal(t, c.asked, c.row.asked(), name)
		require.Equal(t, c.verdict, c.row.verdict(), name)
		var out bytes.Buffer
		require.NoError(t, show(&out, []row{c.row}), name)
		require.Contains(t, out.String(), " "+c.figure+" ", name)
	}
	require.Equal(t, "MISSED", row{missing: true}.verdict())
}

func TestShow(t *testing.T) {
	six := []float64{1, 2, 3, 4, 5, 6}
	var out bytes.Buffer
	require.NoError(t, show(&out, []row{
		{name: "P12/connected", what: "CPU", how: difference, ours: six, other: []float64{1, 1, 1, 1, 1, 1}, target: 3},
		{name: "P11/socket", what: "option", missing: true},
	}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^P12/connected +CPU +6 +3\.50 +1\.00 +\+2\.50 +\+0\.00 \.\. \+5\.00 +<= R \+ 3 +met$`, lines[1])
	require.Regexp(t, `^P11/socket +option +0 +- +- +- +- +there is one +MISSED$`, lines[2])
}
