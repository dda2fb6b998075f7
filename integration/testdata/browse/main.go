// Command browse looks at a page with Debian's chromium, for the scenarios: it prints
// the text that a person would read, and fails where the page breaks its own policy,
// does not fit into the window, or does not pass the checks of axe-core.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "browse:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	width                           int64
	dark                            bool
	shot, axe, login, until, attack string
	script                          bool
}

func run() error {
	var o options
	flag.Int64Var(&o.width, "width", 1200, "the width of the window in `PIXELS`")
	flag.BoolVar(&o.dark, "dark", false, "prefer the dark")
	flag.BoolVar(&o.script, "script", true, "run scripts")
	flag.StringVar(&o.shot, "shot", "", "write a picture of the whole page to `FILE`")
	flag.StringVar(&o.axe, "axe", "", "check the page with axe-core, which is in `FILE`")
	flag.StringVar(&o.login, "login", "", "log in as `USER:PASSWORD`")
	flag.StringVar(&o.until, "until", "", "wait until the text matches `PATTERN`")
	flag.StringVar(&o.attack, "attack", "", "try to read `URL` from the page, in all ways that a page has")
	flag.Parse()
	if flag.NArg() != 1 {
		return errors.New("one URL")
	}
	dir, err := os.MkdirTemp("", "browse")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	allocator := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Env("HOME="+dir),
		// Names of pages that mean harm are names of this machine.
		chromedp.Flag("host-resolver-rules", "MAP *.evil.test 127.0.0.1"),
	)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, allocator...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	return o.look(ctx, flag.Arg(0))
}

// complaints are what the browser says of a page.
type complaints struct {
	mu  sync.Mutex // guards all
	all []string
}

func (c *complaints) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, text)
}

func (o *options) look(ctx context.Context, url string) error {
	var said complaints
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError || e.Entry.Source == log.SourceSecurity {
				said.add(e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			said.add(e.ExceptionDetails.Text)
		}
	})
	actions := []chromedp.Action{
		network.Enable(), log.Enable(),
		emulation.SetDeviceMetricsOverride(o.width, 900, 1, o.width < 600),
		emulation.SetScriptExecutionDisabled(!o.script),
	}
	if o.dark {
		actions = append(actions, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
	}
	if o.login != "" {
		o.logIn(ctx)
		actions = append(actions, fetch.Enable().WithHandleAuthRequests(true))
	}
	actions = append(actions, chromedp.Navigate(url), chromedp.WaitReady("body"))
	if err := chromedp.Run(ctx, actions...); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if o.attack != "" {
		return o.try(ctx, &said)
	}
	text, err := o.text(ctx)
	if err != nil {
		return err
	}
	fmt.Println(text)
	var overflow int64
	if err := chromedp.Run(ctx, chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &overflow)); err != nil {
		return err
	}
	if overflow > 0 {
		return fmt.Errorf("the page is %d pixels wider than the window of %d", overflow, o.width)
	}
	if o.axe != "" {
		if err := o.check(ctx); err != nil {
			return err
		}
	}
	if o.shot != "" {
		if err := o.picture(ctx); err != nil {
			return err
		}
	}
	said.mu.Lock()
	defer said.mu.Unlock()
	if len(said.all) > 0 {
		return fmt.Errorf("the browser complains: %s", strings.Join(said.all, "; "))
	}
	return nil
}

// logIn types user and password into what the browser asks for once, as it does where
// a page answers 401 with a challenge, and gives up when it asks again.
func (o *options) logIn(ctx context.Context) {
	user, password, _ := strings.Cut(o.login, ":")
	asked := false
	chromedp.ListenTarget(ctx, func(event any) {
		// What listens must not wait for the browser.
		do := func(a interface{ Do(context.Context) error }) {
			go func() { _ = a.Do(cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Target)) }() // the page shows it
		}
		switch e := event.(type) {
		case *fetch.EventRequestPaused:
			do(fetch.ContinueRequest(e.RequestID))
		case *fetch.EventAuthRequired:
			answer := &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseCancelAuth}
			if !asked {
				fmt.Printf("the browser asks for a user and a password: %s %q\n", e.AuthChallenge.Scheme, e.AuthChallenge.Realm)
				answer = &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: user, Password: password}
			}
			asked = true
			do(fetch.ContinueWithAuth(e.RequestID, answer))
		}
	})
}

// text is what a person reads, once it is what is waited for.
func (o *options) text(ctx context.Context) (string, error) {
	pattern, err := regexp.Compile("(?m)" + o.until)
	if err != nil {
		return "", err
	}
	for {
		var text string
		if err := chromedp.Run(ctx, chromedp.Evaluate(`document.title + "\n" + document.body.innerText`, &text)); err != nil {
			return "", fmt.Errorf("waiting for %s: %w", o.until, err)
		}
		if pattern.MatchString(text) {
			return text, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the text does not become %s:\n%s", o.until, text)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// check has axe-core look at the page. Its script is run by the debugger, which the
// policy of the page does not bind.
func (o *options) check(ctx context.Context) error {
	script, err := os.ReadFile(o.axe)
	if err != nil {
		return err
	}
	var result string
	await := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	err = chromedp.Run(ctx, chromedp.Evaluate(string(script)+";0", nil),
		chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify({passes: r.passes.length, violations: r.violations.map((v) =>
			v.id + ": " + v.help + ": " + v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(", "))}))`, &result, await))
	if err != nil {
		return fmt.Errorf("axe-core: %w", err)
	}
	var found struct {
		Passes     int      `json:"passes"`
		Violations []string `json:"violations"`
	}
	if err := json.Unmarshal([]byte(result), &found); err != nil {
		return err
	}
	if len(found.Violations) > 0 {
		return fmt.Errorf("axe-core finds\n  %s", strings.Join(found.Violations, "\n  "))
	}
	fmt.Printf("axe-core: %d rules are kept\n", found.Passes)
	return nil
}

// picture writes one of the whole page.
func (o *options) picture(ctx context.Context) error {
	var png []byte
	if err := chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithCaptureBeyondViewport(true).Do(ctx)
		return err
	})); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.shot), 0o755); err != nil {
		return err
	}
	return os.WriteFile(o.shot, png, 0o644)
}

// attack is what a page of somebody else's can do. It never ends with something read.
const attack = `(async (url) => {
	const got = [];
	const attempt = async (name, what) => { try { got.push(name + ": " + await what()); } catch (e) { got.push(name + ": nothing"); } };
	await attempt("fetch", async () => (await fetch(url, {credentials: "include"})).status + " read");
	await attempt("no-cors", async () => { const r = await fetch(url, {mode: "no-cors", credentials: "include"}); return (await r.text()).length > 0 ? "read" : "nothing"; });
	await attempt("script", () => new Promise((ok) => { const s = document.createElement("script"); s.src = url; s.onload = () => ok("loaded"); s.onerror = () => ok("nothing"); document.head.append(s); }));
	await attempt("frame", () => new Promise((ok) => { const f = document.createElement("iframe"); f.src = url; f.onload = () => { try { ok(f.contentDocument.body.innerText.length > 0 ? "read" : "nothing"); } catch (e) { ok("nothing"); } }; setTimeout(() => ok("nothing"), 5000); document.body.append(f); }));
	await attempt("window", () => new Promise((ok) => { const w = open(url); setTimeout(() => { try { ok(w && w.document.body.innerText.length > 0 ? "read" : "nothing"); } catch (e) { ok("nothing"); } }, 1000); }));
	return got.join("\n");
})`

// try has the page read a URL, and prints what it got of it, what was answered to it, and
// what the browser says.
func (o *options) try(ctx context.Context, said *complaints) error {
	target, err := json.Marshal(o.attack)
	if err != nil {
		return err
	}
	answered := answersTo(ctx, o.attack)
	var got string
	await := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	if err := chromedp.Run(ctx, chromedp.Evaluate(attack+"("+string(target)+")", &got, await)); err != nil {
		return err
	}
	fmt.Println(got)
	for _, c := range []*complaints{answered, said} {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, text := range c.all {
			fmt.Println(text)
		}
	}
	return nil
}

// answersTo collects the statuses of what a page is answered for a URL, also of what
// the browser keeps from it.
func answersTo(ctx context.Context, url string) *complaints {
	answered := &complaints{}
	ours := map[network.RequestID]bool{}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			ours[e.RequestID] = e.Request.URL == url
		case *network.EventResponseReceivedExtraInfo:
			if ours[e.RequestID] {
				answered.add(fmt.Sprintf("answered %d", e.StatusCode))
			}
		}
	})
	return answered
}
