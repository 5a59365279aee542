package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	_ "time/tzdata" // a due day is a day in Rome, on machines without zones too
)

// rome is where days are counted: a due date is the day in Rome of its instant.
var rome = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil { // the zones are part of the program
		panic(err)
	}
	return zone
}()

// format is how a language writes dates, numbers and amounts, as CLDR has it.
type format struct {
	months  [12]string
	date    string // of day, month and year
	first   string // the first day of a month, where it is written as no other
	group   string // between thousands
	decimal string
	least   int  // digits before there are groups
	before  bool // the currency stands before the amount
}

// Spaces that do not break a line: a number and its currency are read as one.
const (
	hardSpace   = "\u00a0"
	narrowSpace = "\u202f"
)

var formats = map[string]format{
	"it": {months: names("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre " +
		"ottobre novembre dicembre"), date: "%s %s %d", first: "1º", group: ".", decimal: ",", least: 4},
	"en": {months: names("January February March April May June July August September October " +
		"November December"), date: "%s %s %d", group: ",", decimal: ".", least: 4, before: true},
	"de": {months: names("Januar Februar März April Mai Juni Juli August September Oktober " +
		"November Dezember"), date: "%s. %s %d", group: ".", decimal: ",", least: 4},
	"fr": {months: names("janvier février mars avril mai juin juillet août septembre octobre " +
		"novembre décembre"), date: "%s %s %d", first: "1er", group: narrowSpace, decimal: ",", least: 4},
	"sl": {months: names("januar februar marec april maj junij julij avgust september oktober " +
		"november december"), date: "%s. %s %d", group: ".", decimal: ",", least: 4},
	"es": {months: names("enero febrero marzo abril mayo junio julio agosto septiembre octubre " +
		"noviembre diciembre"), date: "%s de %s de %d", group: ".", decimal: ",", least: 5},
}

func names(s string) (months [12]string) {
	copy(months[:], strings.Fields(s))
	return months
}

// day writes the day in Rome of an instant.
func (f *format) day(t time.Time) string {
	year, month, day := t.In(rome).Date()
	text := strconv.Itoa(day)
	if day == 1 && f.first != "" {
		text = f.first
	}
	return fmt.Sprintf(f.date, text, f.months[month-1], year)
}

// minute writes day and time in Rome of an instant.
func (f *format) minute(t time.Time) string {
	return f.day(t) + ", " + t.In(rome).Format("15:04")
}

// number writes a whole number that is given in decimal digits.
func (f *format) number(digits string) string {
	if len(digits) < f.least {
		return digits
	}
	var out strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteString(f.group)
		}
		out.WriteRune(d)
	}
	return out.String()
}

// euro writes an amount of eurocent.
func (f *format) euro(cents uint64) string {
	text := f.number(strconv.FormatUint(cents/100, 10)) + f.decimal +
		fmt.Sprintf("%02d", cents%100)
	if f.before {
		return "€" + text
	}
	return text + hardSpace + "€"
}
