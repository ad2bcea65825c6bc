//go:build !unix

package main

import "time"

var began = time.Now()

// cpu stands for processor time where it is not to be had: the time that has passed.
func cpu() time.Duration { return time.Since(began) }
