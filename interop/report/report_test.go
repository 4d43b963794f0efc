//go:build chromium

// The HTML reports in a real browser: complete by themselves, and nothing foreign in them is more
// than text. Run by report.sh, where Chromium is installed.
package report

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named gives what an environment variable names; without it the tests would show nothing.
func named(t *testing.T, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Fatalf("%s is not set; run interop/report.sh", variable)
	}
	return value
}

func lockstep(t *testing.T, arguments ...string) {
	t.Helper()
	output, err := exec.Command(named(t, "LOCKSTEP"), arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", arguments, err, output)
	}
}

// hook notes whatever foreign text brings to run.
const hook = `
window.fired = [];
for (const name of ['alert', 'confirm', 'prompt', 'open', 'fetch', 'eval']) {
	window[name] = (...words) => { window.fired.push(name + ' ' + words.join(' ')); };
}
window.addEventListener('securitypolicyviolation', e => window.fired.push('policy ' + e.blockedURI + ' ' + e.violatedDirective));
`

func open(t *testing.T, file string) *Page {
	t.Helper()
	browser, err := Start(named(t, "CHROMIUM"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(browser.Close)
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	page, err := browser.Open("file://"+path, hook)
	if err != nil {
		t.Fatal(err)
	}
	if err := page.Settle(); err != nil {
		t.Fatal(err)
	}
	return page
}

func evaluate[T any](t *testing.T, page *Page, expression string) T {
	t.Helper()
	var value T
	if err := page.Evaluate(expression, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// none fails for each thing that an expression finds.
func none(t *testing.T, page *Page, what, expression string) {
	t.Helper()
	for _, found := range evaluate[[]string](t, page, expression) {
		t.Errorf("%s: %s", what, found)
	}
}

// sound is what has to be so of every report.
func sound(t *testing.T, page *Page, file string) {
	t.Helper()
	path, _ := filepath.Abs(file)
	if len(page.Requests) != 1 || page.Requests[0] != "file://"+path {
		t.Errorf("the page asks for more than itself: %q", page.Requests)
	}
	for _, complaint := range page.Complaints {
		t.Errorf("the console says: %s", complaint)
	}
	none(t, page, "foreign text has run", "window.fired")
	none(t, page, "what a report never has",
		`[...document.querySelectorAll('script, iframe, frame, img, object, embed, form, link, base, audio, video, foreignObject, animate, set')].map(e => e.outerHTML)`)
	none(t, page, "an attribute that runs",
		`[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on/i.test(a.name) || /^\s*(javascript|data):/i.test(a.value))).map(e => e.outerHTML)`)
	none(t, page, "a link that leads nowhere",
		`[...document.querySelectorAll('[href]')].filter(e => { const to = e.getAttribute('href'); return to[0] != '#' || !document.getElementById(decodeURIComponent(to.slice(1))); }).map(e => e.outerHTML)`)
	none(t, page, "an ID that stands twice",
		`(() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.filter((id, at) => ids.indexOf(id) != at); })()`)
	if links := evaluate[int](t, page, `document.querySelectorAll('a[href]').length`); links == 0 {
		t.Error("the page has no links at all")
	}
	policy := evaluate[string](t, page, `document.querySelector('meta[http-equiv="Content-Security-Policy" i]').content`)
	if !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	if over := evaluate[int](t, page, `document.documentElement.scrollWidth - window.innerWidth`); over > 0 {
		t.Errorf("the page is %d pixels wider than the window", over)
	}
	printed, err := page.PDF()
	if err != nil {
		t.Fatal(err)
	}
	pages := regexp.MustCompile(`/Type\s*/Page\b`).FindAll(printed, -1)
	if !bytes.HasPrefix(printed, []byte("%PDF-")) || len(pages) == 0 {
		t.Errorf("no PDF of %d bytes with %d pages", len(printed), len(pages))
	}
	if keep := os.Getenv("REPORT_PDF_DIR"); keep != "" {
		name := strings.TrimSuffix(filepath.Base(file), ".html") + ".pdf"
		if err := os.WriteFile(filepath.Join(keep, name), printed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStolenKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "story")
	lockstep(t, "audit", "demo", "stolen-key", dir)
	file := filepath.Join(dir, "report.html")
	page := open(t, file)
	sound(t, page, file)
	text := evaluate[string](t, page, `document.body.innerText`)
	at := 0
	for _, part := range []string{
		"What happened", "The lock was switched on", "stolen on the train", "HOLDS",
		"What was not checked", "Keys over time", "Findings", "Glossary",
	} {
		found := strings.Index(text[at:], part)
		if found < 0 {
			t.Fatalf("%q is not shown in its order", part)
		}
		at += found
	}
	// The graph is drawn, not only there.
	none(t, page, "a drawing without an extent",
		`[...document.querySelectorAll('svg')].filter(e => { const b = e.getBoundingClientRect(); return b.width < 50 || b.height < 20; }).map(e => e.outerHTML.slice(0, 200))`)
	if drawings := evaluate[int](t, page, `document.querySelectorAll('svg').length`); drawings == 0 {
		t.Error("nothing is drawn")
	}
	// Each link scrolls to what it names.
	none(t, page, "a link to something that is not shown",
		`[...document.querySelectorAll('a[href^="#"]')].filter(e => !document.getElementById(decodeURIComponent(e.getAttribute('href').slice(1))).getClientRects().length).map(e => e.outerHTML)`)
}

// TestHostileText is about a history whose every free text would like to be markup or code.
func TestHostileText(t *testing.T) {
	dir := t.TempDir()
	bundle := filepath.Join(dir, "hostile.tar")
	output, err := exec.Command(named(t, "HOSTILE"), bundle).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	corpus := strings.Split(strings.TrimSpace(string(output)), "\n")
	if len(corpus) < 20 {
		t.Fatalf("the corpus is %q", corpus)
	}
	file := filepath.Join(dir, "hostile.html")
	lockstep(t, "audit", "verify", "--html", file, bundle)
	page := open(t, file)
	sound(t, page, file)
	text := evaluate[string](t, page, `document.body.textContent`)
	for _, evil := range corpus {
		if !strings.Contains(text, evil) {
			t.Errorf("%q is not shown as text", evil)
		}
	}
	if title := evaluate[string](t, page, `document.title`); strings.Contains(title, "pwned") {
		t.Errorf("the title is %q", title)
	}
}

// TestControl shows that the checks above see what they are to see.
func TestControl(t *testing.T) {
	file := filepath.Join(t.TempDir(), "control.html")
	bad := `<!doctype html><title>x</title><p id="a"><p id="a"><a href="#gone">x</a>
<img src="missing.png" onerror="alert(1)"><script>console.error("said")</script>`
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	page := open(t, file)
	if len(page.Requests) < 2 || len(page.Complaints) == 0 {
		t.Errorf("requests %q, complaints %q", page.Requests, page.Complaints)
	}
	if fired := evaluate[[]string](t, page, "window.fired"); len(fired) != 1 || fired[0] != "alert 1" {
		t.Errorf("what has run: %q", fired)
	}
}
