package notify

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var languages = []string{"en", "de", "zh-CN"}

// Each template is there in each language, for each of its channels, and shows each of its values.
func TestTextsAreComplete(t *testing.T) {
	t.Parallel()
	var want, have []string
	for name, template := range templates {
		for _, channel := range template.channels {
			for _, locale := range languages {
				forms := []string{"txt"}
				if channel == Email {
					forms = append(forms, "html")
				}
				for _, form := range forms {
					path := locale + "/" + name + "." + string(channel) + "." + form
					want = append(want, path)
					text, err := embedded.ReadFile("templates/" + path)
					if err != nil {
						t.Error(err)
					}
					for _, value := range slices.Sorted(maps.Keys(template.values)) {
						if !strings.Contains(string(text), "{{."+value+"}}") {
							t.Errorf("%s does not show the value %s", path, value)
						}
					}
					if !strings.Contains(string(text), "{{.shop}}") {
						t.Errorf("%s does not name the shop", path)
					}
				}
			}
		}
		for value := range template.values {
			if samples[value] == "" {
				t.Errorf("the value %s has no sample", value)
			}
		}
	}
	if err := fs.WalkDir(embedded, "templates", func(path string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			have = append(have, strings.TrimPrefix(path, "templates/"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the texts (-want +have):\n%s", diff)
	}
}

// A text and its twin in HTML say the same.
func TestTwinsSayTheSame(t *testing.T) {
	t.Parallel()
	texts := load(t, "")
	tags := regexp.MustCompile(`(?s)<head>.*</head>|<[^>]*>`)
	for name, template := range templates {
		if !slices.Contains(template.channels, Email) {
			continue
		}
		for _, locale := range languages {
			letter, err := texts.Letter(sample(name, Email, locale))
			if err != nil {
				t.Fatal(err)
			}
			if letter.Locale != locale {
				t.Errorf("%s in %s is in %s", name, locale, letter.Locale)
			}
			plain, html := strings.Fields(letter.Text), strings.Fields(tags.ReplaceAllString(letter.HTML, " "))
			if diff := cmp.Diff(plain, html); diff != "" {
				t.Errorf("%s in %s (-text +html):\n%s", name, locale, diff)
			}
		}
	}
}

func load(t *testing.T, dir string) *Texts {
	t.Helper()
	texts, err := LoadTexts("Shop", dir)
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func sample(name string, channel Channel, locale string) Message {
	m := Message{Event: "e", Template: name, Channel: channel, Locale: locale, To: "a@example.com", Values: map[string]string{}}
	for value := range templates[name].values {
		m.Values[value] = samples[value]
	}
	return m
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	texts := load(t, "")
	for locale, want := range map[string]string{
		"en": "en", "en-GB": "en", "de": "de", "de-AT": "de", "zh-CN": "zh-CN", "zh": "zh-CN", "zh-Hans-SG": "zh-CN", "zh-TW": "zh-CN",
		"fr": "en", "": "en", "x": "en", "../de": "en", "de\n": "en", "gsw": "de", strings.Repeat("de-", 1000): "en",
	} {
		letter, err := texts.Letter(sample("sign_in_code", SMS, locale))
		if err != nil || letter.Locale != want {
			t.Errorf("locale %.20q: %s, %v, want %s", locale, letter.Locale, err, want)
		}
	}
}

// What other people chose stays one line of text in a letter.
func TestValuesAreEscaped(t *testing.T) {
	t.Parallel()
	texts := load(t, "")
	m := sample("invitation", Email, "en")
	m.Values["seller"] = "<script>alert(1)</script>\r\nBcc: all@evil.example \u202ehttp://evil.example/{{.code}}"
	letter, err := texts.Letter(m)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(letter.HTML, "<script") || !strings.Contains(letter.HTML, "&lt;script&gt;") {
		t.Errorf("the HTML is %s", letter.HTML)
	}
	for _, text := range []string{letter.Subject, letter.Text, letter.HTML} {
		for _, bad := range []string{"\r", "\nBcc", "evil.example", "http:/", "\u202e", "all@e"} {
			if strings.Contains(text, bad) {
				t.Errorf("%q is in %q", bad, text)
			}
		}
	}
	if strings.Contains(letter.Subject, "\n") {
		t.Errorf("the subject is %q", letter.Subject)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 200)
	for _, c := range []struct {
		name  string
		form  form
		value string
		want  string // "" is refused
	}{
		{"code", code, "123456", "123456"},
		{"code", code, "123", ""},
		{"code", code, "12 34 56", ""},
		{"code", code, "１２３４５６", ""},
		{"code", code, "abc<def", ""},
		{"number", number, "10", "10"},
		{"number", number, "0", ""},
		{"number", number, "-1", ""},
		{"number", number, "١", ""},
		{"instant", instant, "2026-01-02T03:04:05+08:00", "2026-01-01 19:04 UTC"},
		{"instant", instant, "yesterday", ""},
		{"phrase", phrase, "Müller & Sons", "Müller & Sons"},
		{"phrase", phrase, "王五", "王五"},
		{"phrase", phrase, "a\nb\tc\u2028d\x00e", "a b c d e"},
		{"phrase", phrase, "shop.example", "shop.\u2060example"},
		{"phrase", phrase, "shop\u3002example shop\uff0eexample shop\uff61example", "shop\u3002\u2060example shop\uff0e\u2060example shop\uff61\u2060example"},
		{"phrase", phrase, "\u200b", ""},
		{"phrase", phrase, " \n ", ""},
		{"phrase", phrase, "", ""},
		{"phrase", phrase, "a\xffb", "a b"},
		{"phrase", phrase, long, long[:2*phraseMax]},
	} {
		shown, ok := c.form(c.value)
		if ok != (c.want != "") || ok && shown != c.want {
			t.Errorf("%s %q: %q, %v, want %q", c.name, c.value, shown, ok, c.want)
		}
	}
}

func TestOwnTexts(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, files map[string]string) string {
		t.Helper()
		dir := t.TempDir()
		for path, text := range files {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	texts := load(t, write(t, map[string]string{
		"fr/sign_in_code.sms.txt":     "{{.shop}} : votre code {{.code}}",
		"de/verify_email.email.txt":   "Subject: Hallo\n\nhttps://shop.example/?code={{.code}}\n",
		"de/verify_email.email.html":  `<a href="https://shop.example/?code={{.code}}">Hallo</a>`,
		"pt-BR/sign_in_code.sms.txt":  "Código {{.code}}",
		"zh-TW/sign_in_code.sms.txt":  "驗證碼{{.code}}",
		"de-AT/sign_in_code.sms.txt":  "Servus: {{.code}}",
		"de-AT/invitation.email.txt":  "Subject: {{.seller}}\n\n{{.code}}",
		"de-AT/invitation.email.html": "{{.code}}",
	}))
	for _, c := range []struct{ template, locale, want, text string }{
		{"sign_in_code", "fr-CA", "fr", "Shop : votre code 123456"},
		{"sign_in_code", "zh-HK", "zh-TW", "驗證碼123456"},
		{"sign_in_code", "de-AT", "de-AT", "Servus: 123456"},
		{"sign_in_code", "de-DE", "de", "123456 ist Ihr Code für Shop. Er gilt 10 Minuten. Geben Sie ihn niemandem."},
		{"sign_in_code", "pt", "pt-BR", "Código 123456"},
		{"verify_email", "de", "de", "https://shop.example/?code=123456"},
		{"invitation", "fr", "en", ""},
	} {
		letter, err := texts.Letter(sample(c.template, templates[c.template].channels[0], c.locale))
		if err != nil || letter.Locale != c.want || c.text != "" && letter.Text != c.text {
			t.Errorf("%s in %s: %s %q, %v", c.template, c.locale, letter.Locale, letter.Text, err)
		}
	}
	for name, files := range map[string]map[string]string{
		"map has no entry":         {"de/sign_in_code.sms.txt": "{{.cod}}"},
		"no text":                  {"README.md": "hello"},
		"de/other.sms.txt":         {"de/other.sms.txt": "hello"},
		"de_DE":                    {"de_DE/sign_in_code.sms.txt": "hello"},
		"sign_in_code.email":       {"de/sign_in_code.email.txt": "Subject: hello\n\nhello", "de/sign_in_code.email.html": "hello"},
		"without":                  {"de/verify_email.email.txt": "Subject: hello\n\nhello"},
		"there without":            {"de/verify_email.email.html": "hello"},
		"begins with a line":       {"de/verify_email.email.txt": "hello", "de/verify_email.email.html": "hello"},
		"function \"nothing\" not": {"de/sign_in_code.sms.txt": "{{nothing}}"},
		"unclosed":                 {"de/sign_in_code.sms.txt": "{{.code"},
		"more than":                {"de/sign_in_code.sms.txt": strings.Repeat("x", textBytesMax+1)},
	} {
		if _, err := LoadTexts("Shop", write(t, files)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadTexts("Shop", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that is not there is taken")
	}
}

// Nothing personal is in an error about a message, or in what is printed of one.
func TestWrongMessages(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Message){
		"no template":           func(m *Message) { m.Template = "canaries" },
		"no channel":            func(m *Message) { m.Channel = SMS },
		"its event":             func(m *Message) { m.Event = "a b" },
		"event or its user":     func(m *Message) { m.User = -1 },
		"its recipient":         func(m *Message) { m.To = "Canary <canary@example.com>" },
		"recipient is none":     func(m *Message) { m.To = "canary\r\n@example.com" },
		"lacks the value code":  func(m *Message) { delete(m.Values, "code") },
		"value code has":        func(m *Message) { m.Values["code"] = "canary canary" },
		"it has 3 values":       func(m *Message) { m.Values["canary"] = "canary" },
		"it is of use for 169h": func(m *Message) { m.Within = withinMax + 3600e9 },
	} {
		m := theReset("e")
		change(&m)
		err := m.check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
		if m.Template != "canaries" && strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("the error is %v", err)
		}
	}
	m := theReset("e")
	if err := m.check(); err != nil || m.Within != templates[m.Template].within {
		t.Errorf("%v, within %v", err, m.Within)
	}
	letter, err := load(t, "").Letter(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if said := fmt.Sprintf(verb+" "+verb, m, letter); strings.Contains(said, "canary") || !strings.Contains(said, "reset_password by email") {
			t.Errorf("%s shows %s", verb, said)
		}
	}
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]Channel{
		"a@example.com": Email, "ü@example.com": Email, "a.b+c@sub.example.com": Email,
		"": "", "a": "", "@example.com": "", "a@": "", " a@example.com": "", "a@example.com\n": "", "a@b,c@d": "", "<a@example.com>": "", "a@example.com (x)": "",
		strings.Repeat("a", 250) + "@b.de": "",
		"+4915112345678":                   SMS, "+8613800138000": SMS, "4915112345678": "", "+0915112345678": "", "+49 151 1234567": "", "+49151": "", "+49151123456789012": "", "+4９15112345678": "",
	} {
		for _, channel := range []Channel{Email, SMS} {
			if got := Reaches(channel, to); got != (channel == want) {
				t.Errorf("%s reaches %q: %v", channel, to, got)
			}
		}
	}
}

// The page lists all messages with their channels and values.
func TestPageListsMessages(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, have []string
	for name, template := range templates {
		var values, ways []string
		values = append(values, slices.Sorted(maps.Keys(template.values))...)
		for _, channel := range template.channels {
			ways = append(ways, string(channel))
		}
		want = append(want, fmt.Sprint(name, ways, values))
	}
	words := regexp.MustCompile("[a-z_]+")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z, ]+) \\| ([a-z_, `]*)\\|$").FindAllStringSubmatch(string(page), -1) {
		values := words.FindAllString(row[3], -1)
		slices.Sort(values)
		have = append(have, fmt.Sprint(row[1], words.FindAllString(row[2], -1), values))
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the messages (-program +page):\n%s", diff)
	}
}
