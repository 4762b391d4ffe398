package catalog_test

import (
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// badInputs are the rows of docs/bad-input.md.
var badInputs = []badInput{
	{
		"unknown members", "a member that no object of the body has, also `__proto__`, `$ne` and one without a name", "`malformed`, with a pointer to it",
		func(i *intruder) { i.walk("malformed", i.each(i.unknownMembers)) }, nil,
	},
	{
		"mass assignment", "each member that any object of the document has, where it is none: `user_id`, `state`, `role`, `version` and some hundred others",
		"`malformed`, with a pointer to it",
		func(i *intruder) { i.walk("malformed", i.each(i.foreignMembers)) }, nil,
	},
	{
		"members in other cases", "names in capitals, with a blank, with letters that fold to theirs", "`malformed`",
		func(i *intruder) { i.walk("malformed", i.each(i.otherCases)) }, nil,
	},
	{
		"members twice", "a member twice, also once with `\\u0061` in its name", "`malformed`, with a pointer to it",
		func(i *intruder) { i.walk("malformed", i.each(i.twice)) }, nil,
	},
	{
		"values of another kind", "a text for a number, an object for a text, `null` for what has to be there, and so on", "`malformed`",
		func(i *intruder) { i.walk("malformed", i.each(wrongKinds)) }, nil,
	},
	{
		"texts of another form", "in each text what its pattern in the document refuses: nothing, blanks, letters of other scripts, digits, signs", "`malformed`, or as any wrong password, token or code is answered",
		func(i *intruder) { i.walk("malformed", i.each(formless)) }, nil,
	},
	{
		"deep nesting", "thousands of lists or objects within each other, open or closed", "`malformed`",
		func(i *intruder) { i.walk("malformed", i.each(deep)) },
		[]string{"internal/web/TestFaultsWithoutAType"},
	},
	{
		"huge numbers", "exponents, fractions, signs, leading zeros, more than 64 bits, `NaN`", "`malformed`",
		func(i *intruder) { i.walk("malformed", i.each(hugeNumbers)) }, nil,
	},
	{
		"control characters", "NUL, line ends, escapes and deletes in each text", "`malformed`, or as any wrong password, token or code is answered",
		func(i *intruder) { i.walk("malformed", i.each(controls)) },
		[]string{"account/internal/password/TestFormsThatAreRefused"},
	},
	{
		"text that is none", "lone surrogates, bytes that are no UTF-8, raw control characters", "`malformed`",
		func(i *intruder) {
			i.walk("malformed", i.each(quoted(func(value string) []string {
				return []string{value + `\ud800`, `\udc00` + value, value + `\ud83d\ud83d`, value + "\xff", value + "\xc0\xaf", value + "\xed\xa0\x80", value + "\n", value + `\x41`, value + `\u12`}
			})))
		},
		nil,
	},
	{
		"long texts", "12,000 bytes in each text; bodies above 16 KiB", "`malformed`, `payload_too_large`",
		func(i *intruder) {
			i.walk("malformed", i.each(quoted(func(value string) []string {
				return []string{value + strings.Repeat("x", 12_000), strings.Repeat("7", 12_000)}
			})))
		},
		[]string{"TestServerKeepsToItsDocument"},
	},
	{
		"bodies that are no JSON", "lists, two documents, a byte order mark, comments, single quotes, XML, a form, a half", "`malformed`",
		func(i *intruder) { i.walk("malformed", i.each(i.noJSON)) }, nil,
	},
	{
		"other types of bodies", "texts, forms, other charsets and codings, no type; two types, a body where none is wanted, none where one is", "`unsupported_media_type`, `malformed`",
		func(i *intruder) { i.walk("unsupported_media_type", i.kindsOfBody) }, nil,
	},
	{
		"queries", "unknown and repeated parameters, and for each parameter what the document refuses", "`malformed`",
		func(i *intruder) { i.walk("malformed", i.wrongQueries) }, nil,
	},
	{
		"headers", "keys and versions that are missing, twice or in another form", "`idempotency_key_missing`, `idempotency_key_invalid`, `if_match_missing`, `malformed`",
		func(i *intruder) { i.walk("malformed", i.wrongHeaders) },
		[]string{"../core/idempotency/TestKeysOfRequests"},
	},
	{
		"open redirects", "paths with slashes, dots, hosts and escapes in them; other methods than the path has", "`not_found`, `method_not_allowed`, never a `Location`",
		func(i *intruder) {
			i.walk("not_found", i.otherPaths)
			i.otherMethods()
		},
		[]string{"account/provider/TestFiles"},
	},
	{
		"ids of another kind", "in the place of each id, ids of each other kind, in capitals, cut, with escapes or wide digits", "`malformed`; of challenges and providers `code_refused` and `unknown_provider`, as any that there is not",
		func(i *intruder) { i.walk("malformed", i.otherIDs) }, nil,
	},
	{
		"other people's objects", "ids of what is somebody else's, one by one and together", "what an id of nothing is answered, to the letter; a code that is guessed costs its challenge a try",
		(*intruder).others,
		[]string{"TestServerKeepsToItsDocument", "TestEveryRoleAtEveryOperation", "TestEveryScopeAtEveryOperation"},
	},
	{
		"look-alike names", "addresses of e-mail with Cyrillic, wide or folding letters; names with characters that nobody sees or that turn the text around", "`malformed`",
		func(i *intruder) {
			i.walk("malformed", i.each(lookAlikes))
			i.walk("malformed", i.each(unseen))
		},
		[]string{"account/TestEmails", "account/TestHomes"},
	},
	{
		"plus, dots and cases of e-mail", "an address in other cases; with other dots, or more behind a plus sign", "the first is the same account, the others are other ones",
		(*intruder).addresses,
		[]string{"account/TestEmailsThatAreOne", "account/TestAnAddressHasOneUser"},
	},
	{
		"phones in all forms", "blanks, brackets, dashes, `00`; digits of other scripts, extensions, `tel:`, numbers that take no short messages", "one number however it is written, or `malformed`",
		func(i *intruder) { i.walk("malformed", i.each(wrongPhones)) },
		[]string{"account/TestNumbersOfPhones", "account/TestAPhoneHasOneUser"},
	},
	{
		"codes of another flow, replayed codes", "each right code at each operation that takes one, by somebody else, and again under another key; returns of providers likewise",
		"`code_refused`, whatever is wrong; the code still counts where it belongs",
		func(i *intruder) {
			i.codes()
			i.returns()
		},
		[]string{"account/TestCodesThatDoNotFit", "account/TestCodesOfPhones", "account/TestCodesOfProviders", "account/TestOneCodeOneSession", "account/TestRecoveryCodes", "seller/TestInvitationCountsOnce", "internal/replay/TestOnce"},
	},
	{
		"guessed tokens", "tokens with other claims, without signature, of another algorithm; refresh and device tokens in their place; API keys with one digit changed", "`unauthorized`; a known prefix of a key is told as an unknown one",
		(*intruder).tokens,
		[]string{"../core/auth/TestForgedTokensAreRefused", "account/TestForgedRefreshTokens", "internal/apikey/TestOnlyTheWholeKeyIsOne"},
	},
	{
		"guessed codes", "many codes, one after the other and at once", "`code_refused` for the right one too, once five were tried; `rate_limited` for those of a second factor",
		nil,
		[]string{"account/TestCodesThatDoNotFit", "account/TestCodesOfPhones", "account/TestNobodyGuessesCodes", "account/TestNobodyLocksAnAccount"},
	},
	{
		"enumeration by answer", "addresses and numbers that have an account, and that have none", "the same status, headers and members, and then the same refusal of a code",
		(*intruder).known,
		[]string{"account/TestNobodyLearnsWhoHasAnAccount", "account/TestNobodyLearnsWhoHasAPhone", "account/TestNobodyLearnsWhoHasAnAddress"},
	},
	{
		"enumeration by time", "the same, in pairs", "as many calls of MySQL and hashes, and neither of the two is the slower one (a coin would be as uneven once in a million times)",
		nil,
		[]string{"account/TestTimeTellsNobody", "account/TestWorkTellsNobody"},
	},
	{
		"forged requests of the shop itself", "addresses of providers, webhooks and documents in private networks, of other schemes, with credentials", "refused when they are given, and when they are reached",
		func(i *intruder) { i.walk("malformed", i.each(addressesOfOthers)) },
		[]string{"internal/reach/TestURLs", "internal/webhook/TestNamesOfPrivateAddresses", "account/provider/TestFiles", "TestShopRefusesProvidersThatItCannotAsk"},
	},
	{
		"files that are no pictures", "SVG with scripts, pages, archives, pictures of too many pixels or scans, halves of files, other bytes than were announced", "`malformed` when they are announced, else the picture is `unfit`; nobody gets the file itself",
		nil,
		[]string{"internal/picture/TestWhatIsNoPicture", "internal/objects/TestUploads", "product/TestWhatIsUnfit", "product/TestAddressesOfUploads"},
	},
	{
		"sessions after an erasure", "all that people may call, by a session of somebody who was erased; their refresh and device tokens, their password", "`unauthorized`, `credentials_refused`; `GET /v1/me` says `erased` while the token lasts",
		(*intruder).erased,
		[]string{"account/TestErasedUsersStayOut", "account/TestErasureMeetsWhatGoesOn", "TestErasedUsersAreForgotten", "account/TestErasedUsersOfProviders"},
	},
}

// formless are texts that the document refuses.
func formless(s spot) (all []string) {
	if _, ok := s.value.(string); !ok {
		return nil
	}
	for _, text := range []string{"", " ", "x", "-", "0", "7.5", "..", "ＤＥ", "ß", "☃", "nil", "true", "a/b", "*", strings.Repeat("7", 30)} {
		if s.schema.VisitJSON(text, openapi3.EnableFormatValidation()) != nil {
			all = append(all, `"`+text+`"`)
		}
	}
	return all
}

// controls are texts with control characters.
func controls(s spot) []string {
	if s.name == "device_token" { // one that is none is nobody's device
		return nil
	}
	return quoted(func(value string) []string {
		return []string{value + `\u0000`, `\u0000` + value, value + `\r\nX: y`, value + `\u001b[31m`, value + `\u007f`, value + `\u0085`}
	})(s)
}

func lookAlikes(s spot) []string {
	if s.name != "email" {
		return nil
	}
	return quoted(func(value string) []string {
		name, domain, _ := strings.Cut(value, "@")
		return []string{
			strings.Replace(value, "i", "і", 1) + "і", strings.Replace(value, "@", "＠", 1), strings.Map(wide, value), value + ".", "." + value, strings.Replace(value, "@", ".@", 1), strings.Replace(value, "@", "..x@", 1),
			"ſ" + value, "\u212a" + value, value + "\u200b", "\u202e" + value, " " + value, value + " ", "<" + value + ">", "Mia <" + value + ">", value + "," + value, strings.Replace(value, "@", "@@", 1), `\"x\"@` + domain,
			"a@[127.0.0.1]", "a@localhost", "a@127.0.0.1", "a@bücher.example", value + "%0d%0aBcc:x@y.example", strings.Replace(value, "@", "%@y.example@", 1), "@" + value, name,
		}
	})(s)
}

// unseen are characters that nobody sees, or that turn the text around, in names that people read.
func unseen(s spot) []string {
	if !slices.Contains([]string{"display_name", "recipient", "lines", "legal_name", "name"}, s.name) {
		return nil
	}
	return quoted(func(value string) []string {
		return []string{value + "\u202e", "\u200b" + value, value + "\u2066x", value + "\ufeff", value + "\u00ad", value + "\U000e0041"}
	})(s)
}

func wrongPhones(s spot) []string {
	if s.name != "phone" {
		return nil
	}
	return quoted(func(string) []string {
		return []string{
			"", "+", "112", "+49", "+49 30 1234567", "+４９15112345678", "+49151१2345678", "tel:+4915112345678", "+4915112345678 ext 5", "+4915112345678;x", "+49151123456789012345",
			"++4915112345678", "+49 151 12345678x", "+1 800 555 0199", "+0151 12345678", strings.Repeat("+49 151 12345678", 20),
		}
	})(s)
}

// addressesOfOthers are addresses that the shop must not ask.
func addressesOfOthers(s spot) []string {
	if s.name != "url" && !strings.HasSuffix(s.name, "_url") && s.name != "key" {
		return nil
	}
	return quoted(func(string) []string {
		return []string{
			"http://127.0.0.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data", "https://10.0.0.1/x", "https://192.168.1.1/", "https://0.0.0.0/",
			"https://2130706433/", "https://0x7f.1/", "https://localhost/", "https://u:p@127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.1/", "../../etc/passwd", "javascript:alert(1)", "ftp://example.org/",
		}
	})(s)
}

// addresses signs in by other forms of Mia's address.
func (i *intruder) addresses() {
	post := operation{Allowed: post}
	same := i.send(post, attempt{path: "/v1/sessions", body: signIn("MIA@Example.ORG", goodPassword)})
	if same.code != "ok" {
		i.t.Errorf("in capitals: %d %s", same.status, same.body)
	}
	i.settles()
	nobody := i.send(post, attempt{path: "/v1/sessions", body: signIn("nobody@example.org", goodPassword)})
	i.unchanged("other addresses", func() {
		for _, address := range []string{"m.ia@example.org", "mia+x@example.org", "mia+@example.org", "mia@example.org.example", "mia@mail.example.org", "_mia@example.org", "mia@example.com", "mia%@example.org"} {
			if got := i.send(post, attempt{path: "/v1/sessions", body: signIn(address, goodPassword)}); got.body != nobody.body || got.code != "credentials_refused" {
				i.t.Errorf("%s: %d %s, want %s", address, got.status, got.body, nobody.body)
			}
		}
	})
}
