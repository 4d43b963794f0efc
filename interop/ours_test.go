package interop

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"
)

// randomKey is the text of a key that nobody has.
func randomKey(prefix string) string {
	bytes := make([]byte, 32)
	rand.Read(bytes)
	return prefix + hex.EncodeToString(bytes)
}

// The official command line uses a signing node of ours as if it were a tailscaled.
func TestOfficialCommandAgainstLockstep(t *testing.T) {
	socket, data := lockstepd(t)
	their, our := official(t, socket), ours(t, socket)

	off := their.status()
	if off.Enabled || off.PublicKey == "" {
		t.Fatalf("before: %+v", off)
	}
	laptop, stranger := randomKey("nodekey:"), randomKey("nodekey:")
	our.ok("node", "add", "laptop", "--node-key", laptop)
	cosigner := filepath.Join(t.TempDir(), "cosigner.key")
	second := strings.TrimSpace(our.ok("key", "generate", cosigner))
	output := their.ok("lock", "init", "--confirm", "--gen-disablements=2", off.PublicKey, second)
	secret := secrets(t, output, 2)[0]

	on := their.status()
	if !on.Enabled || !on.NodeKeySigned || !trusts(off.PublicKey)(on) || len(on.FilteredPeers) != 0 {
		t.Fatalf("after init: %+v", on)
	}
	our.ok("node", "add", "stranger", "--node-key", stranger)
	if locked := their.status().FilteredPeers; len(locked) != 1 || locked[0].NodeKey != stranger {
		t.Fatalf("the stranger is not locked out: %+v", locked)
	}
	their.ok("lock", "sign", stranger)
	if locked := their.status().FilteredPeers; len(locked) != 0 {
		t.Fatalf("the stranger is still locked out: %+v", locked)
	}

	// An auth key of ours, wrapped by the official command, lets one node in.
	plain := strings.TrimSpace(our.ok("authkey", "create"))
	wrapped := strings.TrimSpace(their.ok("lock", "sign", plain))
	if !strings.HasPrefix(wrapped, plain+"--TL") {
		t.Fatalf("wrapped: %q", wrapped)
	}
	our.ok("node", "add", "guest", "--node-key", randomKey("nodekey:"), "--auth-key", wrapped)
	if locked := their.status().FilteredPeers; len(locked) != 0 {
		t.Fatalf("the guest is locked out: %+v", locked)
	}
	our.fails("node", "add", "another", "--node-key", randomKey("nodekey:"), "--auth-key", wrapped)

	other := randomKey("tlpub:")
	their.ok("lock", "add", other)
	if !trusts(other)(their.status()) {
		t.Fatal("the added key is not trusted")
	}
	their.fails("lock", "add", other)
	their.ok("lock", "remove", other)
	if trusts(other)(their.status()) {
		t.Fatal("the removed key is still trusted")
	}
	if lines := strings.Count(their.ok("lock", "log"), "update "); lines != 4 {
		t.Fatalf("the log has %d updates", lines)
	}
	// A stolen key is revoked by the official command, with a second key that no daemon holds.
	stolen := randomKey("tlpub:")
	their.ok("lock", "add", stolen)
	begun := blob(t, their.ok("lock", "revoke-keys", stolen), "--cosign")
	if text := their.fails("lock", "revoke-keys", "--cosign", begun); !strings.Contains(text, "already signed") {
		t.Fatalf("cosigning twice: %q", text)
	}
	whole := blob(t, our.ok("lock", "revoke-keys", "--cosign", "--key", cosigner, begun), "--finish")
	their.ok("lock", "revoke-keys", "--finish", whole)
	if trusts(stolen)(their.status()) {
		t.Fatal("the revoked key is still trusted")
	}
	// And the other way round: begun with the second key, signed by the official command.
	again := randomKey("tlpub:")
	their.ok("lock", "add", again)
	begun = blob(t, our.ok("lock", "revoke-keys", "--key", cosigner, again), "--cosign")
	whole = blob(t, their.ok("lock", "revoke-keys", "--cosign", begun), "--finish")
	their.ok("lock", "revoke-keys", "--finish", whole)
	if trusts(again)(their.status()) {
		t.Fatal("the second revoked key is still trusted")
	}
	if text := their.fails("lock", "revoke-keys", "--cosign", "a2010302f6"); !strings.Contains(text, "not a revocation") {
		t.Fatalf("cosigning a no-op: %q", text)
	}
	// The same head, whoever asks and whoever computes it.
	export := write(t, their.ok("lock", "log", "--json", "--limit", "1000"))
	if theirs, audited := their.status().Head, audit(t, export); audited.Head != theirs {
		t.Fatalf("the audit's head is %s, the daemon's %s", audited.Head, theirs)
	}
	audit(t, data)

	their.fails("lock", "disable", "disablement-secret:"+strings.Repeat("00", 32))
	their.ok("lock", "disable", secret)
	if their.status().Enabled {
		t.Fatal("still enabled")
	}
}
