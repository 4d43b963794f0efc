// Package report opens the audit's HTML reports in headless Chromium, through its debugging pipe.
package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// patience is how long an answer is waited for; none takes that long unless something is broken.
const patience = 60 * time.Second

// message is a call, an answer or an event of the DevTools protocol.
type message struct {
	ID      int             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// Browser is a Chromium of its own, with a profile that is gone afterwards.
type Browser struct {
	command  *exec.Cmd
	to       io.WriteCloser
	messages chan message
	profile  string
	next     int
	// Events that came while an answer was waited for.
	early []message
}

// Start starts a browser. It ends with Close, or when its pipe does.
func Start(program string) (*Browser, error) {
	profile, err := os.MkdirTemp("", "report")
	if err != nil {
		return nil, err
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	from, answers, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command := exec.Command(program,
		"--headless=new", "--remote-debugging-pipe", "--user-data-dir="+profile,
		// Its sandbox does not work for root; the pages are made here.
		"--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-extensions", "about:blank")
	// The protocol reads from file descriptor 3 and writes to 4.
	command.ExtraFiles = []*os.File{theirs, answers}
	if err := command.Start(); err != nil {
		return nil, err
	}
	theirs.Close()
	answers.Close()
	browser := &Browser{command: command, to: to, messages: make(chan message, 64), profile: profile}
	go browser.read(from)
	return browser, nil
}

func (b *Browser) read(from io.Reader) {
	defer close(b.messages)
	reader := bufio.NewReader(from)
	for {
		text, err := reader.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) == nil {
			b.messages <- m
		}
	}
}

// Close ends the browser and deletes its profile.
func (b *Browser) Close() {
	b.to.Close()
	b.command.Process.Kill()
	for range b.messages {
	}
	b.command.Wait()
	os.RemoveAll(b.profile)
}

func (b *Browser) receive() (message, error) {
	select {
	case m, open := <-b.messages:
		if !open {
			return m, errors.New("the browser has ended")
		}
		return m, nil
	case <-time.After(patience):
		return message{}, errors.New("the browser does not answer")
	}
}

// call asks the browser, or a page of it, and reads the answer into result.
func (b *Browser) call(session, method string, params any, result any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return err
	}
	b.next++
	text, err := json.Marshal(message{ID: b.next, Method: method, Session: session, Params: body})
	if err != nil {
		return err
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		return err
	}
	for {
		m, err := b.receive()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", method, err)
		case m.ID != b.next:
			b.early = append(b.early, m)
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}

// Page is a page that was opened, and what happened while it was.
type Page struct {
	browser *Browser
	session string
	// Requests are the addresses that were asked for, the page itself included.
	Requests []string
	// Complaints are errors, warnings and messages of the console.
	Complaints []string
	loaded     bool
}

// Open opens an address and waits until it is there. The hook is run before anything of the page.
func (b *Browser) Open(address, hook string) (*Page, error) {
	var target struct {
		ID string `json:"targetId"`
	}
	if err := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return nil, err
	}
	var attached struct {
		Session string `json:"sessionId"`
	}
	attach := map[string]any{"targetId": target.ID, "flatten": true}
	if err := b.call("", "Target.attachToTarget", attach, &attached); err != nil {
		return nil, err
	}
	page := &Page{browser: b, session: attached.Session}
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		if err := page.call(domain+".enable", struct{}{}, nil); err != nil {
			return nil, err
		}
	}
	add := map[string]any{"source": hook}
	if err := page.call("Page.addScriptToEvaluateOnNewDocument", add, nil); err != nil {
		return nil, err
	}
	// What the empty page has done is not of interest.
	b.early = nil
	if err := page.call("Page.navigate", map[string]any{"url": address}, nil); err != nil {
		return nil, err
	}
	for {
		early := b.early
		b.early = nil
		for _, m := range early {
			page.take(m)
		}
		if page.loaded {
			return page, nil
		}
		m, err := b.receive()
		if err != nil {
			return nil, err
		}
		page.take(m)
	}
}

func (p *Page) call(method string, params any, result any) error {
	return p.browser.call(p.session, method, params, result)
}

// take notes an event.
func (p *Page) take(m message) {
	if m.Session != p.session {
		return
	}
	switch m.Method {
	case "Page.loadEventFired":
		p.loaded = true
	case "Network.requestWillBeSent":
		var sent struct {
			Request struct {
				URL string `json:"url"`
			} `json:"request"`
		}
		json.Unmarshal(m.Params, &sent)
		p.Requests = append(p.Requests, sent.Request.URL)
	case "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown":
		p.Complaints = append(p.Complaints, m.Method+" "+string(m.Params))
	}
}

// Settle lets what is still under way come to its end: two frames, and all events before them.
func (p *Page) Settle() error {
	frames := "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))"
	var nothing any
	if err := p.Evaluate(frames+".then(() => null)", &nothing); err != nil {
		return err
	}
	early := p.browser.early
	p.browser.early = nil
	for _, m := range early {
		p.take(m)
	}
	return nil
}

// Evaluate computes an expression in the page.
func (p *Page) Evaluate(expression string, value any) error {
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	params := map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}
	if err := p.call("Runtime.evaluate", params, &answer); err != nil {
		return err
	}
	if answer.Exception != nil {
		return fmt.Errorf("%s: %s", expression, answer.Exception)
	}
	if len(answer.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(answer.Result.Value, value)
}

// PDF prints the page.
func (p *Page) PDF() ([]byte, error) {
	var printed struct {
		Data []byte `json:"data"`
	}
	err := p.call("Page.printToPDF", map[string]any{"printBackground": true}, &printed)
	return printed.Data, err
}
