package account_test

import (
	"testing"

	"sluice/catalog/account"
	"sluice/catalog/notify"
)

func TestNumbersOfPhones(t *testing.T) {
	t.Parallel()
	f := func(text, country, want string) {
		t.Helper()
		got, err := account.ReadPhone(text, country)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q of %q: %q, %v, want %q", text, country, got, err, want)
		}
		if err != nil {
			return
		}
		if again, err := account.ReadPhone(string(got), ""); again != got || err != nil || !notify.Reaches(notify.SMS, string(got)) {
			t.Errorf("%q is read as %q, %v", got, again, err)
		}
	}
	const mobile = "+4915112345678"
	for _, text := range []string{
		mobile, "+49 151 12345678", "+49 (0)151 1234-5678", "+49.151/12345678", " +49 151 12345678", "+49015112345678",
	} {
		if text[0] == ' ' {
			f(text, "", "") // what begins with a blank has no plus sign in front
			continue
		}
		f(text, "", mobile)
		f(text, "FR", mobile) // the plus sign counts
	}
	for _, text := range []string{"0151 12345678", "0151-1234 5678", "(0151) 12345678", "0049 151 12345678", "15112345678"} {
		f(text, "DE", mobile)
		f(text, "", "")
	}
	f("06 12 34 56 78", "FR", "+33612345678")
	f("07400 123456", "GB", "+447400123456")
	f("(201) 555-0123", "US", "+12015550123")
	f("011 49 151 12345678", "US", mobile)
	f("312 345 6789", "IT", "+393123456789")
	f("138 0013 8000", "CN", "+8613800138000")
	f("090-1234-5678", "JP", "+819012345678")
	f("044 668 18 00", "CH", "") // fixed
	f("030 12345678", "DE", "")  // fixed
	f("0800 1234567", "DE", "")  // free of charge
	f("0900 1234567", "DE", "")  // a costly one
	f("112", "DE", "")
	for _, text := range []string{
		"", "+", "+49", "0", "+4915112345678901234567890123456789012345", "+49151123456789012", "+999123456789", "++4915112345678", "49+15112345678",
		"+49 151 1234567a", "+49 151 12345678 ext 5", "+49 151 12345678;ext=5", "+49 151 12345678#5", "tel:+4915112345678", "+1 201 555 FLOW",
		"＋4915112345678", "+４９15112345678", "+49151١٢٣٤٥٦٧٨", "+49\u200b15112345678", "+49\t15112345678", "+49\n15112345678", "+49−15112345678", "+49\u00a015112345678",
	} {
		f(text, "", "")
		f(text, "DE", "")
	}
	f("0151 12345678", "XX", "")
	f("0151 12345678", "de", "")
}

// FuzzPhone reads anything. What is read has one form, to which messages go.
func FuzzPhone(f *testing.F) {
	f.Add("+49 (0)151 1234-5678", "")
	f.Add("0151 12345678", "DE")
	f.Fuzz(func(t *testing.T, text, country string) {
		phone, err := account.ReadPhone(text, country)
		if err != nil {
			return
		}
		if again, err := account.ReadPhone(string(phone), ""); again != phone || err != nil || !notify.Reaches(notify.SMS, string(phone)) {
			t.Errorf("%q of %q is %q, and that is %q, %v", text, country, phone, again, err)
		}
	})
}
