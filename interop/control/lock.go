package control

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tailscale.com/tailcfg"
	"tailscale.com/tka"
	"tailscale.com/types/key"
	"tailscale.com/types/tkatype"
)

// lock is the server's side of tailnet lock: the present authority and the retired ones.
type lock struct {
	pending *pending
	active  *epoch
	retired []*epoch
}

// pending is a genesis that waits for its signatures.
type pending struct {
	caller  tailcfg.NodeID
	genesis tka.AUM
}

// epoch is an authority from its genesis on.
type epoch struct {
	store     *tka.Mem
	authority *tka.Authority
	genesis   tkatype.MarshaledAUM
	secret    []byte
}

func newEpoch(genesis tka.AUM) (*epoch, error) {
	store := tka.ChonkMem()
	authority, err := tka.Bootstrap(store, genesis)
	if err != nil {
		return nil, err
	}
	return &epoch{store: store, authority: authority, genesis: genesis.Serialize()}, nil
}

// has tells whether the epoch ever had that AUM.
func (e *epoch) has(head string) bool {
	var hash tka.AUMHash
	if hash.UnmarshalText([]byte(head)) != nil {
		return false
	}
	_, err := e.store.AUM(hash)
	return err == nil
}

func (l *lock) enabled() bool { return l.active != nil }

func (l *lock) authorized(nodeKey key.NodePublic, signature tkatype.MarshaledSignature) bool {
	return l.active != nil && l.active.authority.NodeKeyAuthorized(nodeKey, signature) == nil
}

// info is what a node is told whose authority has that head: one of a retired epoch is to be
// disabled before it can follow the present one.
func (l *lock) info(head string) *tailcfg.TKAInfo {
	for _, old := range l.retired {
		if head != "" && old.has(head) {
			return &tailcfg.TKAInfo{Disabled: true}
		}
	}
	if l.active == nil {
		return &tailcfg.TKAInfo{Disabled: true}
	}
	return &tailcfg.TKAInfo{Head: l.active.authority.Head().String()}
}

// refusal is an answer other than 200.
type refusal struct {
	code int
	text string
}

func (r refusal) Error() string { return r.text }

func refuse(code int, format string, args ...any) error {
	return refusal{code, fmt.Sprintf(format, args...)}
}

func (s *Server) serveLock(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	verb := strings.TrimPrefix(r.URL.Path, "/machine/tka/")
	handle, ok := map[string]func(*http.Request, key.MachinePublic) (any, error){
		"init/begin":    s.initBegin,
		"init/finish":   s.initFinish,
		"bootstrap":     s.bootstrap,
		"sync/offer":    s.syncOffer,
		"sync/send":     s.syncSend,
		"disable":       s.disable,
		"sign":          s.sign,
		"affected-sigs": s.affectedSignatures,
	}[verb]
	if !ok {
		http.NotFound(w, r)
		return
	}
	answer, err := handle(r, machine)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.text, refused.code)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case answer != nil:
		writeJSON(w, answer)
	}
}

func (s *Server) initBegin(r *http.Request, machine key.MachinePublic) (any, error) {
	var request tailcfg.TKAInitBeginRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	var genesis tka.AUM
	if err := genesis.Unserialize(request.GenesisAUM); err != nil {
		return nil, fmt.Errorf("decoding genesis: %w", err)
	}
	if _, err := newEpoch(genesis); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	caller := s.byKey(request.NodeKey, machine)
	if caller == nil {
		return nil, refuse(http.StatusForbidden, "unknown node key")
	}
	if s.lock.enabled() {
		return nil, refuse(http.StatusConflict, "tailnet lock is already enabled")
	}
	s.lock.pending = &pending{caller.id, genesis}
	var response tailcfg.TKAInitBeginResponse
	for _, n := range s.nodes {
		response.NeedSignatures = append(response.NeedSignatures, tailcfg.TKASignInfo{
			NodeID: n.id, NodePublic: n.key, RotationPubkey: n.lockKey.Verifier(),
		})
	}
	return response, nil
}

func (s *Server) initFinish(r *http.Request, machine key.MachinePublic) (any, error) {
	var request tailcfg.TKAInitFinishRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	err := s.change(func() error {
		caller := s.byKey(request.NodeKey, machine)
		if s.lock.pending == nil || caller == nil || caller.id != s.lock.pending.caller {
			return refuse(http.StatusConflict, "no initialization of this node is pending")
		}
		begun, err := newEpoch(s.lock.pending.genesis)
		if err != nil {
			return err
		}
		for id, signature := range request.Signatures {
			n := s.nodes[id]
			if n == nil {
				return refuse(http.StatusConflict, "node %d is gone", id)
			}
			if err := begun.authority.NodeKeyAuthorized(n.key, signature); err != nil {
				return refuse(http.StatusBadRequest, "signature of node %d: %v", id, err)
			}
		}
		for id, signature := range request.Signatures {
			s.nodes[id].signature = signature
		}
		s.lock.active, s.lock.pending = begun, nil
		return nil
	})
	return tailcfg.TKAInitFinishResponse{}, err
}

func (s *Server) bootstrap(r *http.Request, _ key.MachinePublic) (any, error) {
	var request tailcfg.TKABootstrapRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var response tailcfg.TKABootstrapResponse
	for _, old := range s.lock.retired {
		if request.Head != "" && old.has(request.Head) {
			response.DisablementSecret = old.secret
		}
	}
	if s.lock.active != nil && request.Head == "" {
		response.GenesisAUM = s.lock.active.genesis
	}
	if response.GenesisAUM == nil && response.DisablementSecret == nil {
		return nil, refuse(http.StatusBadRequest, "nothing to bootstrap from")
	}
	return response, nil
}

func (s *Server) syncOffer(r *http.Request, _ key.MachinePublic) (any, error) {
	var request tailcfg.TKASyncOfferRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	theirs, err := tka.ToSyncOffer(request.Head, request.Ancestors)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	active := s.lock.active
	if active == nil {
		return nil, refuse(http.StatusBadRequest, "tailnet lock is not enabled")
	}
	ours, err := active.authority.SyncOffer(active.store)
	if err != nil {
		return nil, err
	}
	missing, err := active.authority.MissingAUMs(active.store, theirs)
	if err != nil {
		return nil, err
	}
	var response tailcfg.TKASyncOfferResponse
	if response.Head, response.Ancestors, err = tka.FromSyncOffer(ours); err != nil {
		return nil, err
	}
	for _, aum := range missing {
		response.MissingAUMs = append(response.MissingAUMs, aum.Serialize())
	}
	return response, nil
}

func (s *Server) syncSend(r *http.Request, _ key.MachinePublic) (any, error) {
	var request tailcfg.TKASyncSendRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	updates := make([]tka.AUM, len(request.MissingAUMs))
	for i, raw := range request.MissingAUMs {
		if err := updates[i].Unserialize(raw); err != nil {
			return nil, fmt.Errorf("decoding AUM %d: %w", i, err)
		}
	}
	var response tailcfg.TKASyncSendResponse
	apply := func() error {
		active := s.lock.active
		if active == nil {
			return refuse(http.StatusBadRequest, "tailnet lock is not enabled")
		}
		if len(updates) > 0 {
			next, err := active.authority.InformIdempotent(active.store, updates)
			if err != nil {
				return err
			}
			active.authority = &next
		}
		response.Head = active.authority.Head().String()
		return nil
	}
	if len(updates) == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return &response, apply()
	}
	err := s.change(apply)
	return &response, err
}

func (s *Server) disable(r *http.Request, _ key.MachinePublic) (any, error) {
	var request tailcfg.TKADisableRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	err := s.change(func() error {
		active := s.lock.active
		if active == nil {
			return refuse(http.StatusBadRequest, "tailnet lock is not enabled")
		}
		if !active.authority.ValidDisablement(request.DisablementSecret) {
			return refuse(http.StatusBadRequest, "invalid disablement secret")
		}
		active.secret = bytes.Clone(request.DisablementSecret)
		s.lock.retired = append(s.lock.retired, active)
		s.lock.active = nil
		for _, n := range s.nodes {
			n.signature = nil
		}
		return nil
	})
	return tailcfg.TKADisableResponse{}, err
}

func (s *Server) sign(r *http.Request, _ key.MachinePublic) (any, error) {
	var request tailcfg.TKASubmitSignatureRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	var signature tka.NodeKeySignature
	if err := signature.Unserialize(request.Signature); err != nil {
		return nil, fmt.Errorf("decoding signature: %w", err)
	}
	err := s.change(func() error {
		if s.lock.active == nil {
			return refuse(http.StatusBadRequest, "tailnet lock is not enabled")
		}
		for _, n := range s.nodes {
			binary, err := n.key.MarshalBinary()
			if err != nil || !bytes.Equal(binary, signature.Pubkey) {
				continue
			}
			if err := s.lock.active.authority.NodeKeyAuthorized(n.key, request.Signature); err != nil {
				return err
			}
			n.signature = request.Signature
			return nil
		}
		return refuse(http.StatusNotFound, "unknown node key")
	})
	return tailcfg.TKASubmitSignatureResponse{}, err
}

func (s *Server) affectedSignatures(r *http.Request, _ key.MachinePublic) (any, error) {
	var request tailcfg.TKASignaturesUsingKeyRequest
	if err := readJSON(r, &request); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var response tailcfg.TKASignaturesUsingKeyResponse
	for _, n := range s.nodes {
		var signature tka.NodeKeySignature
		if n.signature == nil || signature.Unserialize(n.signature) != nil {
			continue
		}
		by, err := signature.UnverifiedAuthorizingKeyID()
		if err == nil && bytes.Equal(by, request.KeyID) && s.lock.authorized(n.key, n.signature) {
			response.Signatures = append(response.Signatures, n.signature)
		}
	}
	return response, nil
}
