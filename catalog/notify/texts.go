package notify

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	texttemplate "text/template"

	"golang.org/x/text/language"
)

//go:embed templates
var embedded embed.FS

// Letter is a message as a channel takes it.
type Letter struct {
	ID       string // the same for each attempt
	Channel  Channel
	Template string
	Locale   string // of its texts
	To       string
	Subject  string // of an e-mail
	Text     string
	HTML     string // the twin of an e-mail's text
}

// Format implements fmt.Formatter, for every verb: nobody shows what is personal by mistake.
func (l Letter) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, l.Template+" by "+string(l.Channel)+" "+l.ID) // as for Message
}

// LogValue implements slog.LogValuer.
func (l Letter) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(l)) }

// fallback is the language of those whose own no text has.
const fallback = "en"

// Texts has the texts of all templates in all languages. It does not change.
type Texts struct {
	shop string
	of   map[string]*translations // by template and channel, as a file's name has them
}

// translations are the texts of a template for a channel.
type translations struct {
	tags    []language.Tag // the fallback is the first one
	matcher language.Matcher
	texts   []text // by tag
}

type text struct {
	subject, body *texttemplate.Template
	html          *htmltemplate.Template // of an e-mail
}

// LoadTexts reads the texts of the program, and those in a directory, which come first. The directory may be "". Each text
// has been shown once with sample values, so that none can miss a value when it counts. The shop's name is in each.
func LoadTexts(shop, dir string) (*Texts, error) {
	files, err := fs.Sub(embedded, "templates")
	if err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	sources := map[string]string{}
	if err := readTexts(files, sources); err != nil {
		return nil, err
	}
	if dir != "" {
		own := map[string]string{}
		if err := readTexts(os.DirFS(dir), own); err != nil {
			return nil, fmt.Errorf("texts in %s: %w", dir, err)
		}
		for name := range own { // half a pair would say something else than its twin
			if twin, has := twinOf(name); has && own[twin] == "" {
				return nil, fmt.Errorf("texts in %s: %s is there without %s", dir, name, twin)
			}
		}
		maps.Copy(sources, own)
	}
	t := &Texts{shop, map[string]*translations{}}
	for name, template := range templates {
		for _, channel := range template.channels {
			if err := t.translate(name+"."+string(channel), channel, sources); err != nil {
				return nil, err
			}
		}
	}
	for name, template := range templates {
		if err := t.try(name, template); err != nil {
			return nil, err
		}
	}
	return t, nil
}

const textBytesMax = 64 << 10

// readTexts reads all files, by path: the locale, then the name.
func readTexts(from fs.FS, into map[string]string) error {
	return fs.WalkDir(from, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !isText(path) {
			return fmt.Errorf("%s is no text: want a path such as de-DE/verify_email.email.txt", path)
		}
		info, err := entry.Info()
		if err == nil && info.Size() > textBytesMax {
			err = fmt.Errorf("%s has more than %d bytes", path, textBytesMax)
		}
		if err != nil {
			return err
		}
		content, err := fs.ReadFile(from, path)
		into[path] = string(content)
		return err
	})
}

// isText reports whether a path is that of a text: of a locale, a template, one of its channels, and a form.
func isText(path string) bool {
	locale, name, _ := strings.Cut(path, "/")
	tag, err := language.Parse(locale)
	parts := strings.Split(name, ".")
	if err != nil || tag.String() != locale || len(parts) != 3 {
		return false
	}
	channel := Channel(parts[1])
	return slices.Contains(templates[parts[0]].channels, channel) && (parts[2] == "txt" || parts[2] == "html" && channel == Email)
}

// twinOf is the other half of an e-mail's text.
func twinOf(path string) (twin string, has bool) {
	if rest, ok := strings.CutSuffix(path, ".email.txt"); ok {
		return rest + ".email.html", true
	}
	rest, ok := strings.CutSuffix(path, ".email.html")
	return rest + ".email.txt", ok
}

// translate parses all translations of a template for a channel.
func (t *Texts) translate(name string, channel Channel, sources map[string]string) error {
	of := &translations{}
	var locales []string
	for path := range sources {
		if locale, ok := strings.CutSuffix(path, "/"+name+".txt"); ok {
			locales = append(locales, locale)
		}
	}
	slices.SortFunc(locales, func(a, b string) int {
		switch fallback {
		case a:
			return -1
		case b:
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, locale := range locales {
		path := locale + "/" + name
		parsed, err := parse(channel, path, sources[path+".txt"], sources[path+".html"])
		if err != nil {
			return err
		}
		of.tags, of.texts = append(of.tags, language.Make(locale)), append(of.texts, parsed)
	}
	if len(locales) == 0 || locales[0] != fallback {
		return fmt.Errorf("there is no text %s/%s.txt", fallback, name)
	}
	of.matcher = language.NewMatcher(of.tags)
	t.of[name] = of
	return nil
}

func parse(channel Channel, path, plain, html string) (parsed text, err error) {
	if channel == Email {
		head, body, _ := strings.Cut(plain, "\n\n")
		subject, ok := strings.CutPrefix(head, "Subject: ")
		if !ok || strings.Contains(subject, "\n") || html == "" {
			return text{}, fmt.Errorf("%s: want a .txt that begins with a line \"Subject: ...\" and an empty one, and an .html", path)
		}
		plain = body
		var subjectErr, htmlErr error
		parsed.subject, subjectErr = texttemplate.New(path).Option("missingkey=error").Parse(subject)
		parsed.html, htmlErr = htmltemplate.New(path).Option("missingkey=error").Parse(html)
		err = errors.Join(subjectErr, htmlErr)
	}
	var bodyErr error
	parsed.body, bodyErr = texttemplate.New(path).Option("missingkey=error").Parse(strings.TrimSpace(plain))
	if err := errors.Join(err, bodyErr); err != nil {
		return text{}, fmt.Errorf("text %s: %w", path, err)
	}
	return parsed, nil
}

// samples are values that texts are tried with.
var samples = map[string]string{
	"code": "123456", "minutes": "10", "days": "7", "at": "2026-01-02T03:04:05Z", "device": "Firefox", "address": "a***@example.com", "seller": "Books", "way": "Example",
}

// try shows each text of a template once.
func (t *Texts) try(name string, of template) error {
	values := map[string]string{}
	for key := range of.values {
		values[key] = samples[key]
	}
	for _, channel := range of.channels {
		for _, tag := range t.of[name+"."+string(channel)].tags {
			if _, err := t.Letter(Message{Template: name, Channel: channel, Locale: tag.String(), Values: values}); err != nil {
				return fmt.Errorf("text %s/%s.%s: %w", tag, name, channel, err)
			}
		}
	}
	return nil
}

// Letter writes a message in the nearest language that its template has. An error is a bug of whoever made the message.
func (t *Texts) Letter(m Message) (Letter, error) {
	of, ok := t.of[m.Template+"."+string(m.Channel)]
	if !ok {
		return Letter{}, fmt.Errorf("there is no text for %s by %s", m.Template, m.Channel)
	}
	shown, err := templates[m.Template].shown(m.Template, m.Values)
	if err != nil {
		return Letter{}, err
	}
	shown["shop"] = t.shop
	i := 0
	if tag, err := language.Parse(m.Locale); err == nil {
		_, i, _ = of.matcher.Match(tag)
	}
	letter := Letter{ID: m.name(), Channel: m.Channel, Template: m.Template, Locale: of.tags[i].String(), To: m.To}
	parsed := of.texts[i]
	letter.Text, err = write(parsed.body, shown)
	if m.Channel == Email {
		var subjectErr, htmlErr error
		letter.Subject, subjectErr = write(parsed.subject, shown)
		letter.HTML, htmlErr = write(parsed.html, shown)
		err = errors.Join(err, subjectErr, htmlErr)
	}
	return letter, err
}

// write executes a template. Its error names the value that is missing, and quotes none.
func write(parsed interface {
	Execute(into io.Writer, values any) error
}, values map[string]string,
) (string, error) {
	var b strings.Builder
	err := parsed.Execute(&b, values)
	return b.String(), err
}
