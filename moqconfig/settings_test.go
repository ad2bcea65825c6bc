package moqconfig

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

var pin = strings.Repeat("0a", 32)

func TestConfigZero(t *testing.T) {
	c, err := Settings{}.Config()
	require.NoError(t, err)
	require.Equal(t, moq.Config{}, c)
	requireUsable(t, c)
}

// requireUsable asserts that a client can be made with c.
func requireUsable(t *testing.T, c moq.Config) {
	t.Helper()
	client, err := moq.NewClient(c)
	require.NoError(t, err)
	require.NoError(t, client.Close())
}

func TestConfig(t *testing.T) {
	s := Settings{
		URL: NewURL(secretURL), Versions: []moq.Version{moq.Lite05}, Fingerprints: []string{pin}, ServerName: "relay",
		ConnectTimeout: -1, KeepAlive: -1, IdleTimeout: time.Minute, Backoff: moq.Gentle(),
	}
	c, err := s.Config()
	require.NoError(t, err)
	requireUsable(t, c)
	s.Versions[0], s.Fingerprints[0] = "x", "y" // the Config has its own
	require.Equal(t, "relay", c.TLS.ServerName)
	require.False(t, c.TLS.InsecureSkipVerify)
	c.TLS = nil
	require.Equal(t, moq.Config{
		Versions: []moq.Version{moq.Lite05}, Fingerprints: []string{pin}, ConnectTimeout: -1,
		QUIC: moq.QUICOptions{KeepAlive: -1, MaxIdleTimeout: time.Minute}, Backoff: moq.Gentle(),
	}, c)
}

// Only what asks for it switches crypto/tls's own check off.
func TestConfigVerifies(t *testing.T) {
	root := issue(t, nil, authority)
	mine := issue(t, root, client)
	roots := []string{file(t, root.certificatePEM())}
	both := file(t, append(mine.certificatePEM(), mine.keyPEM(t)...))
	for _, test := range []struct {
		name       string
		in         Settings
		skip, ours bool
	}{
		{"server name", Settings{ServerName: "relay"}, false, false},
		{"client certificate", Settings{ClientCertificate: both, ClientKey: both}, false, false},
		{"insecure", Settings{Insecure: true}, true, false},
		{"insecure with a client certificate", Settings{Insecure: true, ServerName: "relay", ClientCertificate: both, ClientKey: both}, true, false},
		{"roots", Settings{Roots: roots}, true, true},
		{"roots with all", Settings{Roots: roots, ServerName: "relay", ClientCertificate: both, ClientKey: both}, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := test.in.Config()
			require.NoError(t, err)
			requireUsable(t, c)
			require.Equal(t, test.skip, c.TLS.InsecureSkipVerify)
			require.Equal(t, test.ours, c.TLS.VerifyConnection != nil)
			require.Equal(t, test.in.ClientCertificate != "", c.TLS.GetClientCertificate != nil)
		})
	}
}

func TestConfigBad(t *testing.T) {
	root, other := issue(t, nil, authority), issue(t, nil, authority)
	certificate, key, otherKey := file(t, root.certificatePEM()), file(t, root.keyPEM(t)), file(t, other.keyPEM(t))
	empty, missing, folder := file(t, nil), certificate+".missing", t.TempDir()
	for _, test := range []struct {
		name  string
		in    Settings
		field string
		what  string
	}{
		{"malformed URL", Settings{URL: NewURL("https://%zz" + canary)}, "URL", "malformed"},
		{"unknown scheme", Settings{URL: NewURL("ftp://" + canary)}, "URL", "scheme"},
		{"no scheme", Settings{URL: NewURL(canary)}, "URL", "scheme"},
		{"no host", Settings{URL: NewURL("https:///" + canary)}, "URL", "host"},
		{"bad port", Settings{URL: NewURL("https://host:99999/" + canary)}, "URL", "port"},
		{"unknown version", Settings{Versions: []moq.Version{"moq-lite-99"}}, "Versions", "moq-lite-99"},
		{"short fingerprint", Settings{Fingerprints: []string{pin[2:]}}, "Fingerprints", "64"},
		{"no idle timeout", Settings{IdleTimeout: -1}, "IdleTimeout", "never be noticed"},
		{"backoff", Settings{Backoff: moq.Backoff{Multiplier: 0.5}}, "Backoff.Multiplier", "less than 1"},

		{"insecure with fingerprints", Settings{Insecure: true, Fingerprints: []string{pin}}, "Insecure", "Fingerprints"},
		{"insecure with roots", Settings{Insecure: true, Roots: []string{certificate}}, "Insecure", "Roots"},
		{"roots with fingerprints", Settings{Roots: []string{certificate}, Fingerprints: []string{pin}}, "Roots", "Fingerprints"},
		{"certificate without key", Settings{ClientCertificate: certificate}, "ClientKey", "missing"},
		{"key without certificate", Settings{ClientKey: key}, "ClientCertificate", "missing"},

		{"no root file", Settings{Roots: []string{certificate, missing}}, "Roots", missing},
		{"empty root file", Settings{Roots: []string{certificate, empty}}, "Roots", empty + " holds no certificate"},
		{"root file with a key only", Settings{Roots: []string{key}}, "Roots", "holds no certificate"},
		{"root file without a name", Settings{Roots: []string{""}}, "Roots", "no such file"},
		{"folder of roots", Settings{Roots: []string{folder}}, "Roots", folder},
		{"no certificate file", Settings{ClientCertificate: missing, ClientKey: key}, "ClientCertificate", missing},
		{"empty certificate file", Settings{ClientCertificate: empty, ClientKey: key}, "ClientCertificate", "holds no certificate"},
		{"key as certificate", Settings{ClientCertificate: key, ClientKey: key}, "ClientCertificate", "holds no certificate"},
		{"no key file", Settings{ClientCertificate: certificate, ClientKey: missing}, "ClientKey", missing},
		{"empty key file", Settings{ClientCertificate: certificate, ClientKey: empty}, "ClientKey", empty},
		{"certificate as key", Settings{ClientCertificate: certificate, ClientKey: certificate}, "ClientKey", certificate},
		{"key of another", Settings{ClientCertificate: certificate, ClientKey: otherKey}, "ClientKey", "match"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := test.in.Config()
			requireBad(t, err, test.field)
			require.ErrorContains(t, err, test.what)
			require.Equal(t, moq.Config{}, c)
		})
	}
}

func TestConfigURLs(t *testing.T) {
	for _, raw := range []string{secretURL, "moqt://10.0.0.1:4443", "moql://[::1]/x", "https://bücher.example/x"} {
		_, err := Settings{URL: NewURL(raw)}.Config()
		require.NoError(t, err)
	}
}
