package hostdir

import "testing"

func TestLife(t *testing.T) {
	t.Parallel()
	var l Life
	told := ""
	l.AfterEnd(func() { told += "a" })
	stop := l.AfterEnd(func() { told += "b" })
	stop()
	if l.over() || told != "" {
		t.Fatalf("ended %t, told %q before the end", l.over(), told)
	}
	l.end()
	l.end()
	if !l.over() || told != "a" {
		t.Errorf("ended %t, told %q", l.over(), told)
	}
	l.AfterEnd(func() { told += "c" })()
	if told != "ac" {
		t.Errorf("told %q after the end", told)
	}
}
