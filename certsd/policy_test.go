package certsd

import (
	"strings"
	"testing"
)

func TestParseRotateOn(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		list    []string
		has     []int
		hasNot  []int
		want    string
		wantErr string
	}{
		"nothing given is Docker's rule": {nil, []int{403, 500, 599}, []int{401, 404, 400, 200, 600}, "403,5xx", ""},
		"nothing at all":                 {[]string{}, nil, []int{403, 500, 404}, "", ""},
		"single statuses":                {[]string{"404", "403"}, []int{403, 404}, []int{500, 402, 405}, "403,404", ""},
		"4xx is without 401":             {[]string{"4xx"}, []int{400, 402, 499}, []int{401, 500}, "4xx", ""},
		"both classes":                   {[]string{"5xx", "4xx"}, []int{400, 599}, []int{401}, "4xx,5xx", ""},
		"401":                            {[]string{"401"}, nil, nil, "", `rotate_on: "401": asks for credentials and never moves on to another certificate`},
		"success":                        {[]string{"200"}, nil, nil, "", `rotate_on: "200": is neither a status from 400 to 599 nor "4xx" or "5xx"`},
		"three hundred":                  {[]string{"3xx"}, nil, nil, "", "is neither"},
		"too high":                       {[]string{"600"}, nil, nil, "", "is neither"},
		"a sign":                         {[]string{"+403"}, nil, nil, "", "is neither"},
		"empty":                          {[]string{""}, nil, nil, "", "is neither"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseRotateOn(row.list)
			if row.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), row.wantErr) {
					t.Errorf("error %v, want %q", err, row.wantErr)
				}
				return
			}
			if err != nil || got.String() != row.want {
				t.Errorf("got %q, error %v, want %q", got, err, row.want)
			}
			for _, status := range row.has {
				if !got.Has(status) {
					t.Errorf("has no %d", status)
				}
			}
			for _, status := range row.hasNot {
				if got.Has(status) {
					t.Errorf("has %d", status)
				}
			}
		})
	}
}

func FuzzParseRotateOn(f *testing.F) {
	f.Add("403,5xx")
	f.Fuzz(func(t *testing.T, list string) {
		got, err := ParseRotateOn(strings.Split(list, ","))
		if err != nil {
			return
		}
		again, err := ParseRotateOn(strings.Split(got.String(), ","))
		if err != nil || again != got {
			t.Errorf("%q: %q is read as %q, error %v", list, got, again, err)
		}
	})
}
