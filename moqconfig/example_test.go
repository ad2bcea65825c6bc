package moqconfig_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/remoq/moq"
	"github.com/remoq/moq/moqconfig"
	"github.com/remoq/moq/pubsub"
)

// What main does: its own defaults, then the file, then variables and flags.
func Example() {
	// What the operator has, and types.
	path := filepath.Join(os.TempDir(), "moqconfig-example.json")
	defer os.Remove(path)
	if err := os.WriteFile(path, []byte(`{"url": "https://relay.example.com/room?jwt=secret", "backoff": {"initial": "500ms"}}`), 0o600); err != nil {
		log.Fatal(err)
	}
	arguments := []string{"-connect-timeout=5s", "-backoff-timeout=10m"}

	settings := moqconfig.Settings{ConnectTimeout: 10 * time.Second}
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.Unmarshal(data, &settings); err != nil {
		log.Fatal(err)
	}
	flags := flag.NewFlagSet("program", flag.ExitOnError)
	if err := settings.RegisterFlags(flags); err != nil {
		log.Fatal(err) // names the variable
	}
	_ = flags.Parse(arguments) // ends the program if it fails
	config, err := settings.Config()
	if err != nil {
		log.Fatal(err) // names the field
	}
	fmt.Println(settings.URL, config.ConnectTimeout, config.Backoff.Initial, config.Backoff.Timeout)

	config.Subscribe = pubsub.NewOrigin()
	client, err := moq.NewClient(config)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	r := client.Reconnect(context.Background(), settings.URL.Reveal())
	// … follow tracks of the origin …
	_ = r.Close()
	// Output: https://relay.example.com:443 5s 500ms 10m0s
}
