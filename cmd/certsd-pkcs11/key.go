package main

import (
	"crypto"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
)

// key is a private key in a token. Its session is opened on first use and kept.
type key struct {
	module, pin string
	uri         *pkcs11uri.URI

	// mu guards the rest: a session serves one call at a time.
	mu     sync.Mutex
	ctx    *pkcs11.Ctx
	handle pkcs11.SessionHandle
	object pkcs11.ObjectHandle
	// kind is CKK_RSA or CKK_EC; always reports whether each signature needs the PIN.
	kind   uint
	always bool
	// refused is the token's rejection of the PIN, which is not tried again because
	// tokens lock themselves.
	refused error
}

// with calls a function with the session open. If the session was lost, as when a token
// is reinserted, it reopens it once.
func (k *key) with(work func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refused != nil {
		return k.refused
	}
	for again := false; ; again = true {
		fresh := k.ctx == nil
		err := k.open()
		if err == nil {
			err = work()
		}
		if err == nil {
			return nil
		}
		if !lost(err) {
			if k.object == 0 {
				_ = k.shut()
			}
			return k.named(err)
		}
		_ = k.shut()
		if again || fresh {
			return k.named(err)
		}
	}
}

// named adds the token's URI to an error.
func (k *key) named(err error) error { return fmt.Errorf("%s: %w", k.uri, err) }

// lost reports whether an error means that the session, or the token, is gone.
func lost(err error) bool {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch uint(code) {
	case pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_DEVICE_ERROR,
		pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_USER_NOT_LOGGED_IN,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED,
		pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_OPERATION_ACTIVE:
		return true
	}
	return false
}

// open opens the session and finds the key. The caller holds mu.
func (k *key) open() error {
	if k.ctx != nil {
		return nil
	}
	ctx := pkcs11.New(k.module)
	if ctx == nil {
		return fmt.Errorf("the module %s cannot be loaded", k.module)
	}
	if err := ctx.Initialize(); err != nil {
		ctx.Destroy()
		return fmt.Errorf("the module %s cannot be started: %w", k.module, err)
	}
	k.ctx = ctx
	slot, err := k.slot()
	if err != nil {
		return errors.Join(err, k.shut())
	}
	if k.handle, err = ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION); err != nil {
		return errors.Join(fmt.Errorf("cannot open a session: %w", err), k.shut())
	}
	if err = k.login(); err == nil {
		err = k.find()
	}
	if err != nil {
		return errors.Join(err, k.shut())
	}
	return nil
}

func (k *key) login() error {
	if k.pin == "" {
		return nil
	}
	err := k.ctx.Login(k.handle, pkcs11.CKU_USER, k.pin)
	var code pkcs11.Error
	if err == nil || !errors.As(err, &code) {
		return err
	}
	switch uint(code) {
	case pkcs11.CKR_USER_ALREADY_LOGGED_IN:
		return nil
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
		err = fmt.Errorf("the token does not take the PIN, which is not tried again: %w", err)
		k.refused = k.named(err)
		return err
	}
	return fmt.Errorf("cannot log in: %w", err)
}

// shut ends the session and unloads the module: some modules only see newly inserted
// tokens after a restart. The caller holds mu.
func (k *key) shut() error {
	if k.ctx == nil {
		return nil
	}
	err := k.ctx.Finalize()
	k.ctx.Destroy()
	k.ctx, k.handle, k.object = nil, 0, 0
	return err
}

func (k *key) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shut()
}

// publicKey returns the key's public half.
func (k *key) publicKey() (public crypto.PublicKey, err error) {
	err = k.with(func() (err error) {
		public, err = k.public()
		return err
	})
	return public, err
}
