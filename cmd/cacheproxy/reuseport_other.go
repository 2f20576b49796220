//go:build !linux

package main

func sharePort(int) error { return errSharedPort }

func steer(int) error { return errSharedPort }

func unsteer(int) error { return errSharedPort }

func queued(int) (int, error) { return 0, nil }
