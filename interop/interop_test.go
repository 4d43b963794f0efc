// Package interop runs the official programs against Lockstep, and Lockstep against them.
//
// LOCKSTEP names the lockstep program; without it the tests fail, since they would show nothing.
package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockstep.example/interop/control"
)

// patience is how long a state is waited for; nothing takes that long unless it is broken.
const patience = 60 * time.Second

var bin string

func TestMain(m *testing.M) {
	if os.Getenv("LOCKSTEP") == "" {
		fmt.Fprintln(os.Stderr, "LOCKSTEP must name the lockstep program; run interop/run.sh")
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "interop")
	if err == nil {
		bin = dir
		build := exec.Command("go", "build", "-o", dir, "tailscale.com/cmd/tailscale", "tailscale.com/cmd/tailscaled")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the official programs:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// ran is what a command came to.
type ran struct {
	stdout, stderr string
	code           int
}

func run(t *testing.T, program string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatalf("%s %v: %v", program, args, err)
	}
	return ran{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// client runs one of the two command lines against a socket.
type client struct {
	t       *testing.T
	program string
	socket  string
}

func official(t *testing.T, socket string) client {
	return client{t, filepath.Join(bin, "tailscale"), socket}
}

func ours(t *testing.T, socket string) client {
	return client{t, os.Getenv("LOCKSTEP"), socket}
}

func (c client) try(args ...string) ran {
	c.t.Helper()
	return run(c.t, c.program, append([]string{"--socket=" + c.socket}, args...)...)
}

// ok runs a command that must succeed and returns its stdout.
func (c client) ok(args ...string) string {
	c.t.Helper()
	r := c.try(args...)
	if r.code != 0 {
		c.t.Fatalf("%s %v: exit %d\n%s%s", filepath.Base(c.program), args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails runs a command that must be refused.
func (c client) fails(args ...string) string {
	c.t.Helper()
	r := c.try(args...)
	if r.code == 0 {
		c.t.Fatalf("%s %v succeeded\n%s%s", filepath.Base(c.program), args, r.stdout, r.stderr)
	}
	return r.stderr
}

// status is the part of `lock status --json` that the tests read.
type status struct {
	Enabled       bool
	PublicKey     string
	NodeKey       string
	Head          string
	NodeKeySigned bool
	TrustedKeys   []struct {
		Votes  int
		Public string
	}
	FilteredPeers []struct{ NodeKey string }
}

func (c client) status() status {
	c.t.Helper()
	var s status
	if err := json.Unmarshal([]byte(c.ok("lock", "status", "--json")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// until polls the status until it is as wanted.
func (c client) until(what string, want func(status) bool) status {
	c.t.Helper()
	var last status
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = c.status(); want(last) {
			return last
		}
	}
	c.t.Fatalf("%s: never %s: %+v", c.socket, what, last)
	return last
}

func trusts(key string) func(status) bool {
	return func(s status) bool {
		for _, trusted := range s.TrustedKeys {
			if trusted.Public == key {
				return true
			}
		}
		return false
	}
}

func not(f func(status) bool) func(status) bool {
	return func(s status) bool { return !f(s) }
}

var secretPattern = regexp.MustCompile(`disablement-secret:[0-9A-Fa-f]+`)

// secrets are the disablement secrets in a command's output.
func secrets(t *testing.T, output string, want int) []string {
	t.Helper()
	found := secretPattern.FindAllString(output, -1)
	if len(found) != want {
		t.Fatalf("%d disablement secrets, want %d:\n%s", len(found), want, output)
	}
	return found
}

// blob is the recovery blob in the line of a command's output that has this flag.
func blob(t *testing.T, output, flag string) string {
	t.Helper()
	for _, line := range strings.Split(output, "\n") {
		words := strings.Fields(line)
		for i, word := range words {
			if word == flag && i+1 < len(words) {
				return words[i+1]
			}
		}
	}
	t.Fatalf("no blob after %s:\n%s", flag, output)
	return ""
}

// start runs a program until the test ends.
func start(t *testing.T, command *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = log
	if command.Stdout == nil {
		command.Stdout = log
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			if len(text) > 4096 {
				text = text[len(text)-4096:]
			}
			t.Logf("log of %s:\n%s", filepath.Base(command.Path), text)
		}
	})
}

// lockstepd starts a signing node and returns its socket and data directory.
func lockstepd(t *testing.T) (socket, data string) {
	t.Helper()
	dir := shortDir(t)
	socket, data = filepath.Join(dir, "sock"), filepath.Join(dir, "data")
	command := exec.Command(os.Getenv("LOCKSTEP"), "serve", "--data-dir", data, "--socket", socket,
		"--health-listen", "127.0.0.1:0", "--name", "node1")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout = in
	start(t, command)
	in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, `"ready"`) {
		t.Fatalf("not ready: %q, %v", line, err)
	}
	return socket, data
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ts")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// tailnet is a coordination server with official nodes.
type tailnet struct {
	t   *testing.T
	url string
}

func newTailnet(t *testing.T) *tailnet {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: control.New()}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return &tailnet{t, "http://" + listener.Addr().String()}
}

// join starts a tailscaled, logs it in and returns its socket and state directory.
func (n *tailnet) join(name string, key string) (socket, state string) {
	n.t.Helper()
	dir := shortDir(n.t)
	socket, state = filepath.Join(dir, "sock"), filepath.Join(dir, "state")
	command := exec.Command(filepath.Join(bin, "tailscaled"), "--tun=userspace-networking",
		"--statedir="+state, "--socket="+socket, "--port=0", "--no-logs-no-support")
	command.Env = append(os.Environ(), "TS_NO_LOGS_NO_SUPPORT=1", "TS_DISABLE_PORTMAPPER=1",
		"TS_PANIC_IF_HIT_MAIN_CONTROL=1", "TS_LOGS_DIR="+dir, "TS_ASSUME_NETWORK_UP_FOR_TEST=1",
		"TS_NETCHECK_GENERATE_204_URL="+n.url+"/generate_204")
	start(n.t, command)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			n.t.Fatal("tailscaled does not listen")
		}
	}
	official(n.t, socket).ok("up", "--login-server="+n.url, "--auth-key="+key,
		"--hostname="+name, "--timeout=45s")
	return socket, state
}
