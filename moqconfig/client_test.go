package moqconfig

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
	"github.com/remoq/moq/internal/testnet"
)

var at = netip.MustParseAddrPort("10.0.1.1:4443")

// serve lets a relay that asks for client certificates listen until the function is
// called.
func serve(t *testing.T, net *testnet.Network, certificate tls.Certificate, clients *x509.CertPool) (stop func()) {
	t.Helper()
	r, err := relay.New(relay.Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}})
	require.NoError(t, err)
	stopWeb := web.Enable(r)
	require.NoError(t, r.Serve(net.At(at)))
	return func() {
		require.NoError(t, r.Close())
		_ = stopWeb()
	}
}

// dialerOf makes a client of what the settings say, on the simulated network.
func dialerOf(t *testing.T, s Settings, net *testnet.Network) *moq.Client {
	t.Helper()
	c, err := s.Config()
	require.NoError(t, err)
	c.ListenPacket = net.ListenPacket
	dialer, err := moq.NewClient(c)
	require.NoError(t, err)
	return dialer
}

// A client dials with what the files hold at the time, over both carriers; the relay's
// address is the name to verify.
func TestClientFollowsFiles(t *testing.T) {
	for _, scheme := range []string{"https", "moqt"} {
		t.Run(scheme, func(t *testing.T) {
			a, b := issue(t, nil, authority), issue(t, nil, authority)
			mine, next := issue(t, a, client), issue(t, b, client)
			dir := t.TempDir()
			s := Settings{
				URL:   NewURL(scheme + "://" + at.String() + "/" + canary + "?jwt=" + canary),
				Roots: []string{file(t, a.certificatePEM())}, ClientCertificate: filepath.Join(dir, "c.pem"), ClientKey: filepath.Join(dir, "k.pem"),
			}
			replace := func(root, own *issued) {
				put(t, s.Roots[0], root.certificatePEM())
				put(t, s.ClientCertificate, own.certificatePEM())
				put(t, s.ClientKey, own.keyPEM(t))
			}
			replace(a, mine)
			synctest.Test(t, func(t *testing.T) {
				net := testnet.New(t, 20*time.Millisecond)
				dialer := dialerOf(t, s, net)
				defer dialer.Close()
				connect := func() error {
					session, err := dialer.Connect(t.Context(), s.URL.Reveal())
					if err == nil {
						require.NoError(t, session.Close())
					}
					return err
				}
				clients := func(by *issued) *x509.CertPool {
					pool := x509.NewCertPool()
					pool.AddCert(by.certificate)
					return pool
				}
				stop := serve(t, net, issue(t, a, server).shown(), clients(a))
				require.NoError(t, connect())
				stop()

				stop = serve(t, net, issue(t, b, server).shown(), clients(b))
				defer stop()
				err := connect()
				require.ErrorContains(t, err, "unknown authority")
				require.NotContains(t, err.Error(), canary)
				replace(b, next)
				require.NoError(t, connect())
			})
		})
	}
}

// A supervisor outlives a file that is away for a while: it is one more failed attempt.
func TestSupervisorOutlivesMissingFile(t *testing.T) {
	root := issue(t, nil, authority)
	mine := issue(t, root, client)
	path := file(t, root.certificatePEM())
	own := file(t, append(mine.certificatePEM(), mine.keyPEM(t)...))
	s := Settings{URL: NewURL("moqt://" + at.String()), Roots: []string{path}, ClientCertificate: own, ClientKey: own}
	synctest.Test(t, func(t *testing.T) {
		net := testnet.New(t, 20*time.Millisecond)
		dialer := dialerOf(t, s, net)
		defer dialer.Close()
		clients := x509.NewCertPool()
		clients.AddCert(root.certificate)
		defer serve(t, net, issue(t, root, server).shown(), clients)()

		put(t, path, nil)
		r := dialer.Reconnect(t.Context(), s.URL.Reveal())
		for state := range r.States(t.Context()) {
			if state.Attempt == 2 {
				require.ErrorContains(t, state.Err, "Roots: "+path+" holds no certificate")
				break
			}
		}
		put(t, path, root.certificatePEM())
		for state := range r.States(t.Context()) {
			require.NotEqual(t, moq.Stopped, state.Phase)
			if state.Phase == moq.Connected {
				break
			}
		}
		require.NoError(t, r.Close())
	})
}

// TestSupervisorOutlivesAnEmptyFile: what cannot be read here is no answer of the peer's, however
// often TLS calls it a bad certificate; nor if the file's name is hidden in the error, since it
// stands in the URL.
func TestSupervisorOutlivesAnEmptyFile(t *testing.T) {
	for _, urlPath := range []string{"", "/live"} {
		t.Run(urlPath, func(t *testing.T) {
			root := issue(t, nil, authority)
			mine := issue(t, root, client)
			path := put(t, filepath.Join(t.TempDir(), "live-roots.pem"), root.certificatePEM())
			own := file(t, append(mine.certificatePEM(), mine.keyPEM(t)...))
			s := Settings{URL: NewURL("moqt://" + at.String() + urlPath), Roots: []string{path}, ClientCertificate: own, ClientKey: own}
			synctest.Test(t, func(t *testing.T) {
				net := testnet.New(t, 20*time.Millisecond)
				dialer := dialerOf(t, s, net)
				defer dialer.Close()
				clients := x509.NewCertPool()
				clients.AddCert(root.certificate)
				defer serve(t, net, issue(t, root, server).shown(), clients)()

				put(t, path, nil)
				r := dialer.Reconnect(t.Context(), s.URL.Reveal())
				time.Sleep(time.Minute)
				put(t, path, root.certificatePEM())
				for state := range r.States(t.Context()) {
					require.NotEqual(t, moq.Stopped, state.Phase, "%v", state.Err)
					if state.Phase == moq.Connected {
						break
					}
				}
				require.NoError(t, r.Close())
			})
		})
	}
}
