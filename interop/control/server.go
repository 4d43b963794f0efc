// Package control is a throw-away coordination server for tests: it lets the official client log
// in and use tailnet lock, and decides about the lock with the official package tka.
//
// It keeps everything in memory, trusts whoever connects, and sends the whole network map again
// after every change. It is no coordination server for anything but tests on one machine.
package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sort"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"tailscale.com/control/controlhttp/controlhttpserver"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/tkatype"
	"tailscale.com/util/zstdframe"
)

// Domain is the tailnet's name.
const Domain = "example.test"

// Server is a coordination server. Its zero value is not usable; see [New].
type Server struct {
	noise key.MachinePrivate

	mu      sync.Mutex
	nodes   map[tailcfg.NodeID]*node
	nextID  tailcfg.NodeID
	changed chan struct{}
	lock    lock
}

// node is a machine that has logged in.
type node struct {
	id        tailcfg.NodeID
	machine   key.MachinePublic
	key       key.NodePublic
	lockKey   key.NLPublic
	hostname  string
	hostinfo  *tailcfg.Hostinfo
	disco     key.DiscoPublic
	endpoints []netip.AddrPort
	capver    tailcfg.CapabilityVersion
	tkaHead   string
	signature tkatype.MarshaledSignature
}

// New makes a server without any node.
func New() *Server {
	return &Server{
		noise:   key.NewMachine(),
		nodes:   map[tailcfg.NodeID]*node{},
		nextID:  1,
		changed: make(chan struct{}),
	}
}

// ServeHTTP serves what lies outside the encrypted transport.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/key":
		writeJSON(w, tailcfg.OverTLSPublicKeyResponse{PublicKey: s.noise.Public()})
	case "/generate_204":
		w.WriteHeader(http.StatusNoContent)
	case "/ts2021":
		s.serveNoise(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) serveNoise(w http.ResponseWriter, r *http.Request) {
	conn, err := controlhttpserver.AcceptHTTP(r.Context(), w, r, s.noise, nil)
	if err != nil {
		return // AcceptHTTP has answered.
	}
	machine := conn.Peer()
	mux := http.NewServeMux()
	mux.HandleFunc("/machine/register", func(w http.ResponseWriter, r *http.Request) {
		s.register(w, r, machine)
	})
	mux.HandleFunc("/machine/map", func(w http.ResponseWriter, r *http.Request) {
		s.serveMap(w, r, machine)
	})
	mux.HandleFunc("/machine/tka/", func(w http.ResponseWriter, r *http.Request) {
		s.serveLock(w, r, machine)
	})
	server := http2.Server{}
	server.ServeConn(conn, &http2.ServeConnOpts{
		Context:    context.WithoutCancel(r.Context()),
		BaseConfig: &http.Server{Handler: mux},
	})
}

// change runs f and wakes every map stream. The caller must not hold the lock.
func (s *Server) change(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := f(); err != nil {
		return err
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// byKey finds the node with that current key and machine. The caller holds the lock.
func (s *Server) byKey(nodeKey key.NodePublic, machine key.MachinePublic) *node {
	for _, n := range s.nodes {
		if n.key == nodeKey && n.machine == machine {
			return n
		}
	}
	return nil
}

func (s *Server) register(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	var request tailcfg.RegisterRequest
	if err := readJSON(r, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	user := tailcfg.User{ID: 1, DisplayName: "admin"}
	response := tailcfg.RegisterResponse{
		User:              user,
		Login:             tailcfg.Login{ID: 1, Provider: "test", LoginName: "admin@" + Domain, DisplayName: "admin"},
		MachineAuthorized: true,
	}
	err := s.change(func() error {
		var old *node
		for _, n := range s.nodes {
			if n.machine == machine {
				old = n
			}
		}
		switch {
		case !request.Expiry.IsZero() && request.Expiry.Before(time.Now()):
			if old != nil {
				delete(s.nodes, old.id)
			}
			response.NodeKeyExpired = true
			return nil
		case old != nil && old.key == request.NodeKey:
			return nil
		case old != nil && old.signature != nil && len(request.NodeKeySignature) == 0 && s.lock.enabled():
			// The node makes a rotation of it for its new key and asks again.
			response.NodeKeySignature = old.signature
			return nil
		}
		n := old
		if n == nil {
			n = &node{id: s.nextID, machine: machine}
			s.nextID++
			s.nodes[n.id] = n
		}
		n.key, n.lockKey, n.capver = request.NodeKey, request.NLKey, request.Version
		n.hostinfo = request.Hostinfo
		if request.Hostinfo != nil {
			n.hostname = request.Hostinfo.Hostname
		}
		n.signature = nil
		if len(request.NodeKeySignature) > 0 && s.lock.authorized(n.key, request.NodeKeySignature) {
			n.signature = request.NodeKeySignature
		}
		return nil
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, response)
}

func (s *Server) serveMap(w http.ResponseWriter, r *http.Request, machine key.MachinePublic) {
	var request tailcfg.MapRequest
	if err := readJSON(r, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !request.Stream {
		err := s.change(func() error {
			n := s.byKey(request.NodeKey, machine)
			if n == nil {
				return fmt.Errorf("unknown node key")
			}
			n.disco, n.endpoints = request.DiscoKey, request.Endpoints
			n.capver, n.tkaHead = request.Version, request.TKAHead
			if request.Hostinfo != nil {
				n.hostinfo = request.Hostinfo
			}
			return nil
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
		return
	}
	alive := time.NewTicker(40 * time.Second)
	defer alive.Stop()
	head := request.TKAHead
	for {
		s.mu.Lock()
		n := s.byKey(request.NodeKey, machine)
		if n == nil {
			s.mu.Unlock()
			http.Error(w, "unknown node key", http.StatusNotFound)
			return
		}
		if n.tkaHead != "" {
			head = n.tkaHead
		}
		full := s.mapFor(n, head)
		changed := s.changed
		s.mu.Unlock()
		if !writeFrame(w, full) {
			return
		}
		head = ""
	waiting:
		for {
			select {
			case <-r.Context().Done():
				return
			case <-changed:
				break waiting
			case now := <-alive.C:
				// Never the bare keep-alive, which clients take for other messages later.
				if !writeFrame(w, &tailcfg.MapResponse{KeepAlive: true, ControlTime: &now}) {
					return
				}
			}
		}
	}
}

// mapFor is the whole map of a node whose authority had that head. The caller holds the lock.
func (s *Server) mapFor(n *node, head string) *tailcfg.MapResponse {
	now := time.Now()
	response := &tailcfg.MapResponse{
		Node:   s.described(n),
		Domain: Domain,
		DERPMap: &tailcfg.DERPMap{
			OmitDefaultRegions: true,
			Regions: map[int]*tailcfg.DERPRegion{900: {
				RegionID: 900, RegionCode: "dead", RegionName: "dead",
				Nodes: []*tailcfg.DERPNode{{
					Name: "900a", RegionID: 900, HostName: "127.0.0.1", IPv4: "127.0.0.1",
					IPv6: "none", DERPPort: 1, STUNPort: -1, InsecureForTests: true,
				}},
			}},
		},
		DNSConfig: &tailcfg.DNSConfig{},
		PacketFilters: map[string][]tailcfg.FilterRule{"base": {{
			SrcIPs:   []string{"*"},
			DstPorts: []tailcfg.NetPortRange{{IP: "*", Ports: tailcfg.PortRangeAny}},
		}}},
		UserProfiles: []tailcfg.UserProfile{{ID: 1, LoginName: "admin@" + Domain, DisplayName: "admin"}},
		ControlTime:  &now,
		TKAInfo:      s.lock.info(head),
	}
	for _, other := range s.nodes {
		if other != n {
			response.Peers = append(response.Peers, s.described(other))
		}
	}
	sort.Slice(response.Peers, func(i, j int) bool {
		return response.Peers[i].ID < response.Peers[j].ID
	})
	return response
}

func (s *Server) described(n *node) *tailcfg.Node {
	addresses := []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, byte(n.id)}), 32),
	}
	described := &tailcfg.Node{
		ID:                n.id,
		StableID:          tailcfg.StableNodeID(fmt.Sprintf("n%dCNTRL", n.id)),
		Name:              n.hostname + "." + Domain + ".",
		User:              1,
		Key:               n.key,
		KeySignature:      n.signature,
		Machine:           n.machine,
		DiscoKey:          n.disco,
		Addresses:         addresses,
		AllowedIPs:        addresses,
		Endpoints:         n.endpoints,
		Cap:               n.capver,
		MachineAuthorized: true,
		CapMap: tailcfg.NodeCapMap{
			tailcfg.CapabilityTailnetLock:      nil,
			"disable-captive-portal-detection": nil,
			"debug-disable-upnp":               nil,
		},
	}
	if n.hostinfo != nil {
		described.Hostinfo = n.hostinfo.View()
	}
	return described
}

func writeFrame(w http.ResponseWriter, response *tailcfg.MapResponse) bool {
	document, err := json.Marshal(response)
	if err != nil {
		return false
	}
	packed := zstdframe.AppendEncode(nil, document)
	frame := binary.LittleEndian.AppendUint32(nil, uint32(len(packed)))
	if _, err := w.Write(append(frame, packed...)); err != nil {
		return false
	}
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	return true
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}

func readJSON(r *http.Request, value any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, value)
}
