"""The dialect `responses`: OpenAI's Responses API, for any model that answers chat completions."""
