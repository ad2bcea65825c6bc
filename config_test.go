package moq

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
)

var (
	pinA = strings.Repeat("0a", sha256.Size)
	pinB = strings.Repeat("FF", sha256.Size)
)

func TestConfigDefaults(t *testing.T) {
	c := Config{}.withDefaults()
	require.NoError(t, Config{}.validate())
	require.NotNil(t, c.Logger)
	require.False(t, c.Logger.Enabled(t.Context(), slog.LevelError), "silent")
	c.Logger = nil
	require.Equal(t, Config{
		Versions:       []Version{"moq-lite-06", "moq-lite-05"},
		ConnectTimeout: 30 * time.Second,
		Backoff:        Backoff{}.withDefaults(),
		QUIC: QUICOptions{
			MaxIdleTimeout: 10 * time.Second, KeepAlive: 3 * time.Second, MaxStreams: 1024, MaxUniStreams: 1024,
		},
	}, c)
}

func TestConfigIsCopied(t *testing.T) {
	given := Config{
		Versions:     []Version{Lite05},
		TLS:          &tls.Config{ServerName: "relay"},
		Fingerprints: []string{pinA},
		Logger:       slog.Default(),
	}
	c := given.withDefaults()
	given.Versions[0], given.TLS.ServerName, given.Fingerprints[0] = "x", "y", "z"
	require.Equal(t, []Version{Lite05}, c.Versions)
	require.Equal(t, "relay", c.TLS.ServerName)
	require.Equal(t, []string{pinA}, c.Fingerprints)
	require.Same(t, slog.Default(), c.Logger)

	c = Config{}.withDefaults()
	c.Versions[0] = "x"
	require.Equal(t, Lite06, Config{}.withDefaults().Versions[0], "defaults are not shared")
}

func TestConfigKeepsWhatIsOff(t *testing.T) {
	c := Config{ConnectTimeout: -1, QUIC: QUICOptions{KeepAlive: -1, MaxStreams: -1}}
	require.NoError(t, c.validate())
	c = c.withDefaults()
	require.Negative(t, c.ConnectTimeout)
	require.Equal(t, QUICOptions{
		MaxIdleTimeout: 10 * time.Second, KeepAlive: -1, MaxStreams: -1, MaxUniStreams: 1024,
	}, c.QUIC)
}

func TestConfigValidate(t *testing.T) {
	insecure := &tls.Config{InsecureSkipVerify: true}
	for _, test := range []struct {
		name  string
		in    Config
		field string
	}{
		{"unknown version", Config{Versions: []Version{Lite06, "moq-lite-99"}}, "Versions"},
		{"no version", Config{Versions: []Version{""}}, "Versions"},
		{"a version twice", Config{Versions: []Version{Lite05, Lite06, Lite05}}, "Versions"},
		{"short pin", Config{Fingerprints: []string{pinA, pinB[1:]}}, "Fingerprints"},
		{"shorter pin", Config{Fingerprints: []string{pinB[2:]}}, "Fingerprints"},
		{"long pin", Config{Fingerprints: []string{pinA + "00"}}, "Fingerprints"},
		{"empty pin", Config{Fingerprints: []string{""}}, "Fingerprints"},
		{"pin with colons", Config{Fingerprints: []string{"0a:" + pinA[3:]}}, "Fingerprints"},
		{"pin that is not checked", Config{Fingerprints: []string{pinA}, TLS: insecure}, "TLS.InsecureSkipVerify"},
		{"no idle timeout", Config{QUIC: QUICOptions{MaxIdleTimeout: -1}}, "QUIC.MaxIdleTimeout"},
		{"no streams to read", Config{QUIC: QUICOptions{MaxUniStreams: -1}}, "QUIC.MaxUniStreams"},
		{"backoff", Config{Backoff: Backoff{Multiplier: 0.5}}, "Backoff.Multiplier"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad, ok := errors.AsType[*ConfigError](test.in.validate())
			require.True(t, ok)
			require.Equal(t, test.field, bad.Field)
		})
	}
	for _, good := range []Config{
		{Versions: []Version{Lite05}},
		{Versions: []Version{Lite05, Lite06}},
		{Fingerprints: []string{pinA, pinB}, TLS: &tls.Config{}},
		{TLS: insecure},
	} {
		require.NoError(t, good.validate())
	}
}

func TestParseFingerprints(t *testing.T) {
	sums, err := parseFingerprints([]string{pinA, pinB})
	require.NoError(t, err)
	var a, b [sha256.Size]byte
	for i := range a {
		a[i], b[i] = 0x0a, 0xff
	}
	require.Equal(t, [][sha256.Size]byte{a, b}, sums)
	_, err = parseFingerprints([]string{pinA, "xyz"})
	require.ErrorContains(t, err, "number 2")
}

func TestQUICConfig(t *testing.T) {
	require.Equal(t, &quic.Config{
		MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second,
		MaxIncomingStreams: 1024, MaxIncomingUniStreams: 1024,
	}, QUICOptions{}.withDefaults().quicConfig())

	require.Equal(t, &quic.Config{
		MaxIdleTimeout: time.Minute, MaxIncomingStreams: -1, MaxIncomingUniStreams: 16,
		InitialStreamReceiveWindow: 1000, MaxStreamReceiveWindow: 1000,
		InitialConnectionReceiveWindow: 768 << 10, MaxConnectionReceiveWindow: 1 << 30,
	}, QUICOptions{
		MaxIdleTimeout: time.Minute, KeepAlive: -1, MaxStreams: -1, MaxUniStreams: 1,
		StreamWindow: 1000, ConnectionWindow: 1 << 30,
	}.withDefaults().quicConfig())
}
