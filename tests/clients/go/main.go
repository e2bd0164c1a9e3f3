package main

import (
	"os"
	"slices"
	"strings"
)

func main() {
	hasURL := func(scheme string) bool {
		return slices.ContainsFunc(os.Args[1:], func(argument string) bool { return strings.HasPrefix(argument, scheme) })
	}
	switch {
	case hasURL("mqtt:"):
		runSuite(mqttCases)
	case hasURL("http:"):
		runSuite(slices.Concat(sqsCases, snsCases))
	case hasURL("stomp:"):
		runSuite(stompCases)
	default:
		runSuite(amqpCases)
	}
}
