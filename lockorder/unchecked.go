//go:build !lockorder

package lockorder

import "sync"

// Mutex is a sync.Mutex of a class.
type Mutex[C Class] = sync.Mutex

// RWMutex is a sync.RWMutex of a class.
type RWMutex[C Class] = sync.RWMutex
