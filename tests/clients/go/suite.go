package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A suite runs cases and says which of them failed. The program is called as those of the other languages are (see
// ../python/suite.py):
//
//	PROGRAM URL [--restarts] [--common] [CASE ...]
type testCase struct {
	name         string
	needsRestart bool
	run          func(url string)
}

// failure is what a failed check panics with; anything else that panics is shown with its stack by the runtime.
type failure struct{ text string }

func fail(format string, arguments ...any) {
	panic(failure{fmt.Sprintf(format, arguments...)})
}

// must stops the case on an error.
func must(err error) {
	if err != nil {
		fail("unexpected error: %v", err)
	}
}

// got returns the value of a call that must not fail.
func got[T any](value T, err error) T {
	must(err)
	return value
}

func equal(actual, expected any, what string) {
	if !reflect.DeepEqual(actual, expected) {
		fail("%s: expected %#v, got %#v", what, expected, actual)
	}
}

// unique is a name that no other case and no earlier run has used.
func unique(prefix string) string {
	random := make([]byte, 6)
	got(rand.Read(random))
	return prefix + "-" + hex.EncodeToString(random)
}

const deadline = 15 * time.Second

// waitUntil asks again and again until the condition holds.
func waitUntil(what string, within time.Duration, condition func() bool) {
	end := time.Now().Add(within)
	for !condition() {
		if time.Now().After(end) {
			fail("not within %s: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// receive takes one value from a Go channel, which must come before the deadline.
func receive[T any](from <-chan T, what string) T {
	select {
	case value := <-from:
		return value
	case <-time.After(deadline):
		fail("not within %s: %s", deadline, what)
		panic("unreachable")
	}
}

var stdin = bufio.NewScanner(os.Stdin)

// restartBroker has the broker stopped ("kill" is kill -9, "stop" is SIGTERM) and started again on the same data.
func restartBroker(how string) {
	fmt.Println("@restart", how)
	if !stdin.Scan() || stdin.Text() != "restarted" {
		fail("answer to @restart: %q", stdin.Text())
	}
}

// isCommon tells whether the broker is another one: for the part of a case that it does in its own way.
func isCommon() bool {
	return slices.Contains(os.Args[1:], "--common")
}

// runCase runs one case and returns why it failed, or "".
func runCase(c testCase, url string) (why string) {
	defer func() {
		if problem := recover(); problem != nil {
			failed, ok := problem.(failure)
			if !ok {
				panic(problem)
			}
			why = failed.text
		}
	}()
	c.run(url)
	return ""
}

func runSuite(cases []testCase) {
	restarts := slices.Contains(os.Args[1:], "--restarts")
	arguments := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(argument string) bool {
		return strings.HasPrefix(argument, "--")
	})
	url, names := arguments[0], arguments[1:]
	passed, failed := 0, 0
	for _, c := range cases {
		if len(names) > 0 && !slices.Contains(names, c.name) || c.needsRestart && !restarts {
			continue
		}
		started := time.Now()
		if why := runCase(c, url); why != "" {
			failed++
			fmt.Printf("FAIL %s\n%s\n", c.name, why)
			continue
		}
		passed++
		fmt.Printf("ok %s (%.2f s)\n", c.name, time.Since(started).Seconds())
	}
	fmt.Printf("%d cases passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
