package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

const printed = `=== RUN   TestHerdTable
    herd {"long":{"busiest":5.007,"late":3.841,"p50":1.486,"p99":4.510},"policy":"Gentle","short":{"busiest":3.7,"late":0,"p50":1.386,"p99":4.468},"steady":1.04}
    herd {"long":{"busiest":23.8,"late":3.9,"p50":1.5,"p99":4.5},"policy":"Eager","short":{"busiest":23.7,"late":0,"p50":0.3,"p99":1.7},"steady":1.04}
    herd {"long":{"busiest":100,"late":54,"p50":1.5,"p99":1.9},"policy":"nats.go","short":{"busiest":100,"late":0,"p50":1.1,"p99":1.2},"steady":6.8}
--- PASS: TestHerdTable (0.94s)
`

func TestHerds(t *testing.T) {
	policies, err := parseHerds([]byte(printed))
	require.NoError(t, err)
	require.Len(t, policies, 3)
	require.Equal(t, policy{
		Policy: "Gentle", Steady: 1.04,
		Short: passage{Busiest: 3.7, P50: 1.386, P99: 4.468},
		Long:  passage{Busiest: 5.007, Late: 3.841, P50: 1.486, P99: 4.51},
	}, policies[0])

	asked, verdict := policies[0].judge()
	require.Equal(t, "3 s: busiest <= 4 %, 60 s: busiest <= 4 %, 60 s: p99 <= 5 s, steady <= 1.10", asked)
	require.Equal(t, "MISSED 60 s: busiest <= 4 % (5.01)", verdict)
	_, verdict = policies[1].judge()
	require.Equal(t, "met", verdict, "at the bounds")
	asked, verdict = policies[2].judge()
	require.Equal(t, "- -", asked+" "+verdict, "nobody asks anything of others")

	var out bytes.Buffer
	require.NoError(t, showHerds(&out, policies))
	require.Regexp(t, `P13/Gentle +3\.7 % +1\.39 s +4\.47 s +5\.0 % +3\.8 % +1\.49 s +4\.51 s +1\.04 +MISSED`, out.String())

	_, err = parseHerds([]byte("ok  	github.com/remoq/moq	3.462s\n"))
	require.Error(t, err)
	_, err = parseHerds([]byte("herd {"))
	require.Error(t, err)
}
